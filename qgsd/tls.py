# SPDX-License-Identifier: GPL-2.0-or-later
"""TLS of the service and the management port.

The master reads the files, perhaps as root, and hands their content to the children that speak TLS: a key
need not be readable for the user that they are. They have what was read last, so that a certificate that is
exchanged while one of them starts does no harm.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable, Mapping
from typing import Any

from qgsd.config import ManagementSettings, ServerSettings, Settings
from qgsd.errors import StartError
from qgsd.messages import Certificate, Tls

# More than chains have, less than a message to a child may.
_LARGEST = 64 * 1024
# ssl-config.mozilla.org, version 5.7, intermediate; for TLS 1.3 OpenSSL's own are the same.
_CIPHERS = ":".join(
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
        "DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-CHACHA20-POLY1305",
    )
)  # fmt: skip
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_VERIFY = {"no": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_SHORT = {
    "commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU", "countryName": "C",
    "localityName": "L", "stateOrProvinceName": "ST", "domainComponent": "DC", "userId": "UID",
}  # fmt: skip


def service_tls(settings: Settings) -> Tls | None:
    """What the service port needs, None with ssl=no. Raises `StartError` when a file is no good."""
    server = settings.server
    if not server.ssl:
        return None
    certificates = [_read("server", "ssl_cert", [], server.ssl_cert, server.ssl_key)]
    for name, paths in settings.certificates.items():
        if len(paths) not in (1, 2):
            raise StartError(
                f"[certificates] {name}: write the path of a certificate, and of its key if apart"
            )
        certificates.append(_read("certificates", name, [name], *paths))
    if server.ssl_client_cert != "no" and not server.ssl_client_ca:
        raise StartError(
            "[server] ssl_client_cert needs ssl_client_ca, the authorities whose certificates count"
        )
    authorities = _content("server", "ssl_client_ca", server.ssl_client_ca) if server.ssl_client_ca else b""
    tls = Tls(certificates, authorities)
    _try("server", tls, server)
    return tls


def management_tls(settings: ManagementSettings) -> Tls | None:
    """The same for the management port."""
    if not (settings.enabled and settings.ssl):
        return None
    tls = Tls([_read("management", "ssl_cert", [], settings.ssl_cert, settings.ssl_key)])
    _try("management", tls, ServerSettings())
    return tls


def _read(section: str, option: str, names: list[str], path: str, key: str = "") -> Certificate:
    if not path:
        raise StartError(
            f"[{section}] ssl=yes needs ssl_cert (and ssl_key, unless the certificate file holds the key)"
        )
    key_option = "ssl_key" if option == "ssl_cert" else option
    certificate = Certificate(
        names, _content(section, option, path), _content(section, key_option, key) if key else b""
    )
    try:
        _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate)
    except (OSError, ssl.SSLError) as error:
        options = "ssl_cert, ssl_key" if option == "ssl_cert" else option
        raise StartError(
            f"[{section}] {options}: not a certificate and its key (without a password): {error}"
        ) from error
    return certificate


def _content(section: str, option: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise StartError(f"[{section}] {option}: {path} cannot be read: {error.strerror}") from error
    if len(content) > _LARGEST:
        raise StartError(f"[{section}] {option}: {path} is larger than {_LARGEST} bytes: no certificate is")
    return content


def _try(section: str, tls: Tls, settings: ServerSettings) -> None:
    try:
        context_of(tls, settings)
    except (ValueError, OSError, ssl.SSLError) as error:
        raise StartError(f"[{section}] ssl_ciphers or ssl_client_ca are no good: {error}") from error


# In the children.


def context_of(tls: Tls | None, settings: ServerSettings | None = None) -> ssl.SSLContext | None:
    """For connections from now on. `settings` of the service port, whose defaults do for the other.

    OSError, ssl.SSLError or ValueError when something in `tls` or `settings` is no good.
    """
    if tls is None:
        return None
    settings = settings or ServerSettings()
    contexts = [_context(certificate, tls.client_ca, settings) for certificate in tls.certificates]
    named = {
        name: context
        for certificate, context in zip(tls.certificates, contexts, strict=True)
        for name in certificate.names
    }
    if named:
        contexts[0].sni_callback = lambda connection, name, _: _choose(connection, name, named)
    return contexts[0]


def _context(certificate: Certificate, authorities: bytes, settings: ServerSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.ssl_min_version]
    context.set_ciphers(settings.ssl_ciphers or _CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    _load(context, certificate)
    if authorities:
        context.load_verify_locations(cadata=authorities.decode("ascii"))
        context.verify_mode = _VERIFY[settings.ssl_client_cert]
    return context


def _load(context: ssl.SSLContext, certificate: Certificate) -> None:
    """OpenSSL reads files only: this one is nameless and gone with its descriptor."""
    descriptor = os.memfd_create("certificate")
    try:
        os.write(descriptor, certificate.chain + b"\n" + certificate.key)
        # It has none; without one given OpenSSL would ask for it at the terminal.
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password="")  # nosec B106
    finally:
        os.close(descriptor)


def _choose(connection: ssl.SSLObject, name: str | None, named: Mapping[str, ssl.SSLContext]) -> None:
    """The context of the name that a client asks for (SNI), else the first stays."""
    for known in names_that_fit(name or ""):
        if known in named:
            connection.context = named[known]
            return


def names_that_fit(host: str) -> Iterable[str]:
    """The names of certificates that are good for a host.

    >>> names_that_fit("Maps.Example.org")
    ('maps.example.org', '*.example.org')
    """
    host = host.lower().rstrip(".")
    _, dot, rest = host.partition(".")
    return (host, f"*.{rest}") if dot else (host,)


def subject_of(certificate: Mapping[str, Any]) -> str:
    """The subject of a client's certificate, as `SSLSocket.getpeercert` has it, in the form of RFC 4514.

    >>> subject_of({"subject": ((("countryName", "CH"),), (("commonName", "Müller, A"),))})
    'CN=M\\\\C3\\\\BCller\\\\, A,C=CH'
    """
    parts = certificate.get("subject", ())
    return ",".join(
        "+".join(f"{_SHORT.get(name, name)}={_escaped(value)}" for name, value in part)
        for part in reversed(parts)
    )


def _escaped(value: str) -> str:
    """Printable ASCII, so that it can be a header."""
    told = ""
    for place, char in enumerate(value):
        if char in ',+"\\<>;=' or (char == "#" and place == 0):
            told += f"\\{char}"
        elif char == " " and place in (0, len(value) - 1):
            told += "\\20"
        elif " " <= char <= "~":
            told += char
        else:
            told += "".join(f"\\{byte:02X}" for byte in char.encode(errors="replace"))
    return told
