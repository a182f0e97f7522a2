# SPDX-License-Identifier: GPL-2.0-or-later
"""TLS as a client meets it: versions, certificates by name, exchanged while it serves, and of clients."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.instance import Instance, ows_path
from tests.waiting import wait_for

PROBE = Path(__file__).parents[1] / "plugins" / "probe"
HEADERS = ows_path(SERVICE="PROBE", REQUEST="headers")

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Authority:
    """Makes certificates signed by its own, in files NAME.pem and NAME.key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        own = ("-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.pem"))
        # Python 3.13 insists on it.
        uses = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        _openssl("req", "-x509", *_NEW_KEY, "-days", "2", "-subj", "/CN=Authority", *uses, *own)

    def make(self, name: str, subject: str, names: str = "") -> Path:
        key, request, out = (self.folder / f"{name}.{end}" for end in ("key", "csr", "pem"))
        extension = self.folder / "extension"
        whose = "authorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
        extension.write_text(
            whose + (f"subjectAltName={names}\n" if names else "basicConstraints=CA:FALSE\n")
        )
        _openssl("req", *_NEW_KEY, "-utf8", "-subj", subject, "-keyout", str(key), "-out", str(request))
        signing = ("-CA", f"{self.folder}/ca.pem", "-CAkey", f"{self.folder}/ca.key", "-CAcreateserial")
        told = ("-extfile", str(extension), "-in", str(request), "-out", str(out))
        _openssl("x509", "-req", "-days", "1", *signing, *told)
        return out


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("ca") / "files")
    made.make("usual", "/CN=usual", "DNS:usual.example,IP:127.0.0.1")
    made.make("maps", "/CN=maps", "DNS:maps.example")
    made.make("all", "/CN=all", "DNS:*.all.example")
    made.make("client", "/C=CH/O=Town, Maps/CN=Jürg")
    return made


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, shared_root: Path, authority: Authority
) -> Iterator[Instance]:
    plugins = tmp_path_factory.mktemp("plugins")
    (plugins / "probe").symlink_to(PROBE)
    files = authority.folder
    config = (
        f"[server]\nworkers=1\npluginpath={plugins}\nclient_timeout=1\n"
        f"ssl=yes\nssl_cert={files}/usual.pem\nssl_key={files}/usual.key\n"
        f"ssl_client_ca={files}/ca.pem\nssl_client_cert=optional\nssl_client_subject=yes\n"
        f"[certificates]\nmaps.example={files}/maps.pem, {files}/maps.key\n*.all.example={files}/both.pem\n"
    )
    (files / "both.pem").write_bytes((files / "all.pem").read_bytes() + (files / "all.key").read_bytes())
    instance = Instance(
        tmp_path_factory.mktemp("q") / "i", "run", ("--rootdir", str(shared_root)), config=config
    )
    with instance:
        yield instance
    assert "Traceback" not in instance.log_text


def _context(authority: Authority, client: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.folder / "ca.pem"))
    if client:
        context.load_cert_chain(authority.folder / f"{client}.pem", authority.folder / f"{client}.key")
    return context


@contextlib.contextmanager
def _connected(
    server: Instance, context: ssl.SSLContext, name: str = "usual.example"
) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        yield secure


def _ask(connection: ssl.SSLSocket, target: str, *headers: str) -> tuple[int, bytes]:
    lines = [f"GET {target} HTTP/1.1", "Host: usual.example", *headers, "", ""]
    connection.sendall("\r\n".join(lines).encode())
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, response.read()


def _subject(connection: ssl.SSLSocket) -> str:
    shown = connection.getpeercert()
    assert shown is not None
    return str(shown["subject"][-1][0][1])  # type: ignore[index]


def test_each_name_has_its_certificate(server: Instance, authority: Authority) -> None:
    for name, subject in (
        ("usual.example", "usual"),
        ("maps.example", "maps"),
        ("a.all.example", "all"),
        ("A.All.Example", "all"),
    ):
        with _connected(server, _context(authority), name) as connection:
            assert _subject(connection) == subject
            assert _ask(connection, "/ping")[0] == 200
    unchecked = _context(authority)
    unchecked.check_hostname = False
    for name in ("other.example", "a.b.all.example", "all.example"):
        with _connected(server, unchecked, name) as connection:
            assert _subject(connection) == "usual"


def test_old_versions_and_weak_ciphers_are_refused(server: Instance, authority: Authority) -> None:
    for version, ciphers, taken in (
        (ssl.TLSVersion.TLSv1_3, "DEFAULT", True),
        (ssl.TLSVersion.TLSv1_2, "DEFAULT", True),
        (ssl.TLSVersion.TLSv1_1, "DEFAULT@SECLEVEL=0", False),
        (ssl.TLSVersion.TLSv1_2, "AES128-SHA:AES256-SHA256:@SECLEVEL=0", False),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA", False),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-GCM-SHA256", True),
    ):
        context = _context(authority)
        context.set_ciphers(ciphers)
        context.minimum_version = context.maximum_version = version
        try:
            with _connected(server, context) as connection:
                assert taken, (version, ciphers)
                assert connection.version() == {772: "TLSv1.3", 771: "TLSv1.2"}[version]
        except (ssl.SSLError, ConnectionError):
            assert not taken, (version, ciphers)


def test_plugins_are_told_whose_certificate_it_was_and_by_nobody_else(
    server: Instance, authority: Authority
) -> None:
    lies = ("X-Ssl-Client-S-Dn: CN=root", "X-Ssl-Client-Verify: SUCCESS")
    for _ in range(2):
        with _connected(server, _context(authority, "client")) as connection:
            told = _seen(_ask(connection, HEADERS, *lies)[1])
        assert told == {
            "X-Ssl-Client-Verify": "SUCCESS",
            "X-Ssl-Client-S-Dn": "CN=J\\C3\\BCrg,O=Town\\, Maps,C=CH",
        }
        with _connected(server, _context(authority)) as connection:
            assert _seen(_ask(connection, HEADERS, *lies)[1]) == {"X-Ssl-Client-Verify": "NONE"}


def _seen(body: bytes) -> dict[str, str]:
    seen = json.loads(body)["headers"]
    return {name: value for name, value in seen.items() if name.lower().startswith("x-ssl")}


def test_a_certificate_of_somebody_else_is_refused(
    server: Instance, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    other.make("client", "/CN=stranger")
    context = _context(authority)
    context.load_cert_chain(other.folder / "client.pem", other.folder / "client.key")
    with pytest.raises((ssl.SSLError, ConnectionError)), _connected(server, context) as connection:
        _ask(connection, "/ping")


def test_who_does_not_finish_its_handshake_is_cut_off(server: Instance) -> None:
    for opening in (b"", b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(opening)
            began = time.monotonic()
            with contextlib.suppress(ConnectionError):
                assert client.recv(100) == b""
            assert 0.5 < time.monotonic() - began < 4
    assert server.raw(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n").find(b"HTTP/1.1 200") < 0


def test_a_certificate_is_exchanged_while_connections_live(server: Instance, authority: Authority) -> None:
    files = authority.folder
    context = _context(authority)
    with _connected(server, context) as old:
        assert _ask(old, "/ping")[0] == 200
        authority.make("next", "/CN=next", "DNS:usual.example")
        for end in ("pem", "key"):
            shutil.copy(files / f"usual.{end}", files / f"before.{end}")
            shutil.copy(files / f"next.{end}", files / f"usual.{end}")
        server.signal("HUP")

        def exchanged() -> bool:
            with _connected(server, context) as fresh:
                return _subject(fresh) == "next"

        wait_for("the new one is shown", exchanged)
        assert _ask(old, "/ping")[0] == 200, "the old connection lives on"
        # One that does not fit its key changes nothing.
        shutil.copy(files / "before.key", files / "usual.key")
        refused = server.ctl("reload", check=False)
        assert (refused.returncode, "ssl_cert, ssl_key: not a certificate and its key" in refused.stderr) == (
            1,
            True,
        )
        server.ctl("restart")
        assert exchanged()
    shutil.copy(files / "next.key", files / "usual.key")


def test_who_shows_no_certificate_where_one_is_required_gets_nothing(
    server: Instance, authority: Authority
) -> None:
    server.ctl("set", "server.ssl_client_cert", "required")

    def refused() -> bool:
        try:
            with _connected(server, _context(authority)) as connection:
                return _ask(connection, "/ping")[0] != 200
        except (ssl.SSLError, ConnectionError, http.client.HTTPException):
            return True

    wait_for("it is refused", refused)
    with _connected(server, _context(authority, "client")) as connection:
        assert _ask(connection, "/ping")[0] == 200
    server.ctl("set", "server.ssl_client_cert", "optional")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_key_needs_not_be_readable_for_the_user(launch, projects, tmp_path, authority) -> None:  # type: ignore[no-untyped-def]
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    files = authority.folder
    (files / "maps.key").chmod(0o600)
    settings = ("server.ssl=yes", f"server.ssl_cert={files}/maps.pem", f"server.ssl_key={files}/maps.key")
    arguments = [word for setting in settings for word in ("--set", setting)]
    instance = launch("--rootdir", str(projects), "-u", "nobody", "-w", "1", *arguments)
    with _connected(instance, _context(authority), "maps.example") as connection:
        assert _ask(connection, "/ping")[0] == 200
