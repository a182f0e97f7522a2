# SPDX-License-Identifier: GPL-2.0-or-later
"""Where and how HTTP is served, and by how many processes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..declaration import RUN, STOP, WORKER, OpenSection, option
from ..forms import address, header_prefix, network, origin
from ..kinds import DAY, Boolean, Choice, Integer, List, Number, Path, Paths, Size, Text

# This machine, and the networks that the internet does not route: where proxies are.
_NEAR = (
    "unix",
    "127.0.0.0/8",
    "::1",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
    "fe80::/10",
)


def _host_name(text: str) -> str:
    """A host name, or one with * in the place of its first part. Raises `ValueError`."""
    name = text.strip().lower()
    if not re.fullmatch(r"(\*\.)?([a-z0-9_-]+\.)*[a-z0-9_-]+", name):
        raise ValueError("not a host name")
    return name


OPEN_SECTIONS = (
    OpenSection(
        section="certificates",
        field="certificates",
        name=_host_name,
        names="a host name, or *.DOMAIN",
        kind=Paths(),
        about="certificates for further names of the service port (SNI); others get server.ssl_cert.",
        help="certificate for that name, and behind a comma its key, if it is in another file (PEM)",
        example="maps.example=/etc/ssl/maps.pem, /etc/ssl/maps.key",
        live=True,
    ),
)


@dataclass(frozen=True)
class ServerSettings:
    """[server]: where and how HTTP is served, and by how many processes."""

    port: int = option(
        8080,
        Integer(0, 65535),
        "port to listen on; 0 lets the kernel choose",
        env="QGSRV_SERVER_HTTP_PORT",
        flag=("-p", "--port"),
        metavar="PORT",
    )
    interfaces: tuple[str, ...] = option(
        ("0.0.0.0",),
        List(address, "IPv4 or IPv6 addresses, host names, unix:/path"),
        "addresses to listen on",
        flag=("-b", "--bind"),
        metavar="IP",
    )
    workers: int = option(
        2,
        Integer(0, 1000),
        "QGIS processes",
        flag=("-w", "--workers"),
        metavar="NUM",
        commands=(RUN, WORKER),
        live=True,
    )
    jobs: int = option(1, Integer(1, 64), "HTTP children", flag=("-j", "--jobs"), metavar="NUM", live=True)
    timeout: float = option(
        20.0,
        Number(0, DAY, above=True),
        "seconds after which a request is answered 504",
        flag=("--timeout",),
        metavar="SECONDS",
        live=True,
    )
    proxy: bool = option(
        False,
        Boolean(),
        "serve HTTP and queue only, workers of other machines do the rendering",
        flag=("--proxy",),
    )
    setuid: str = option(
        "",
        Text(r"[^\s:/]+", "a user name", empty=True),
        "user to run as, once the port is open",
        flag=("-u", "--setuid"),
        metavar="USER",
    )
    instance: str = option(
        "qgsd",
        Text(r"[A-Za-z0-9._-]{1,64}", "up to 64 letters, digits, . _ -"),
        "name that tells several daemons on one machine apart",
        flag=("--instance",),
        metavar="NAME",
        commands=(RUN, STOP),
    )
    pidfile: str = option(
        "",
        Path(),
        "file for the master's process id; empty = qgsd's own folder",
        flag=("--pidfile",),
        metavar="PATH",
        commands=(RUN, WORKER, STOP),
    )
    ssl: bool = option(False, Boolean(), "serve HTTPS")
    ssl_cert: str = option("", Path(), "certificate for HTTPS, with its chain (PEM)", live=True)
    ssl_key: str = option("", Path(), "private key of the certificate (PEM)", live=True)
    ssl_min_version: str = option("1.2", Choice(("1.2", "1.3")), "oldest version of TLS spoken", live=True)
    ssl_ciphers: str = option(
        "",
        Text(r"[A-Za-z0-9:!+@=_-]+", "names of OpenSSL, separated by colons", empty=True),
        "ciphers of TLS 1.2; empty = Mozilla's intermediate list",
        live=True,
    )
    ssl_client_cert: str = option(
        "no", Choice(("no", "optional", "required")), "whether clients show a certificate", live=True
    )
    ssl_client_ca: str = option("", Path(), "authorities of clients' certificates (PEM)", live=True)
    ssl_client_subject: bool = option(
        False,
        Boolean(),
        "tell QGIS's plugins whose certificate it was, by the header X-Ssl-Client-S-Dn",
        live=True,
    )
    compression: bool = option(
        True, Boolean(), "compress text for clients that take gzip or brotli", live=True
    )
    cross_origin: bool = option(True, Boolean(), "let pages of other sites read answers (CORS)", live=True)
    cross_origins: tuple[str, ...] = option(
        ("*",),
        List(origin, "origins such as https://maps.example, or * for all"),
        "the sites whose pages may, with cross_origin=yes",
        live=True,
    )
    http_proxy: bool = option(
        False,
        Boolean(),
        "heed X-Forwarded-*, Forwarded and X-Qgis-*-Url of proxies (trusted_proxies)",
        live=True,
    )
    trusted_proxies: tuple[str, ...] = option(
        _NEAR,
        List(network, "addresses, networks such as 10.0.0.0/8, or unix"),
        "from where a proxy speaks, with http_proxy=yes; headers of others are passed over",
        live=True,
    )
    proxy_url: str = option(
        "",
        Text(r"https?://[^\s/?#]+(/[^\s?#]*)?", "an http or https URL without a query", empty=True),
        "address under which clients reach this server, with its path; it counts more than what a proxy says",
        live=True,
    )
    allow_headers: tuple[str, ...] = option(
        ("*",),
        List(header_prefix, "beginnings of header names, or * for all"),
        "request headers that plugins see, beside those that QGIS itself needs",
        live=True,
    )
    single_flight: bool = option(
        True,
        Boolean(),
        "answer GET requests that are the same to QGIS and its plugins, headers included, by one rendering",
        live=True,
    )
    pluginpath: str = option("", Path(), "folder of QGIS Server plugins, instead of QGIS_PLUGINPATH")
    allocator: str = option(
        "auto",
        Path(words=("auto", "system"), empty=False),
        "memory allocator QGIS runs with: auto = jemalloc where it is installed, system = the C library's",
    )
    png: str = option(
        "qgis",
        Choice(("qgis", "compact")),
        "how PNG pictures are written: qgis = to the byte as by QGIS; compact = the same pixels, with fewer "
        "bytes and in less time for maps and legends",
    )
    plugin_apis: bool = option(
        True, Boolean(), "OGC APIs of plugins that [api.endpoints] does not name may be asked too", live=True
    )
    status_page: bool = option(False, Boolean(), "tell versions and state at /status", live=True)
    debug_request_id: str = option(
        "",
        Text(r"[!-~]+", "an X-Debug-Id, * for any", empty=True),
        "requests with this X-Debug-Id are logged in full by their worker",
        live=True,
    )
    restartmon: str = option("", Path(), "a file whose change replaces all workers, without losing a request")
    restartmon_check_time: int = option(
        3000,
        Integer(10, 86_400_000),
        "milliseconds between looks at restartmon and at the plugins",
        live=True,
    )
    max_body_size: int = option(64 * 1024**2, Size(), "largest request body; above it 413", live=True)
    max_uri_size: int = option(32 * 1024, Size(), "longest request URI; above it 414", live=True)
    max_header_size: int = option(64 * 1024, Size(), "largest request headers; above it 431", live=True)
    client_timeout: float = option(
        30.0, Number(0, DAY, above=True), "seconds a client may take to send its request", live=True
    )
    send_timeout: float = option(
        60.0,
        Number(0, DAY, above=True),
        "seconds in which a client must take something of its answer",
        live=True,
    )
    keepalive_timeout: float = option(
        75.0, Number(0, DAY), "seconds an idle connection is kept open; 0 = for ever", live=True
    )
    max_connections: int = option(
        10_000,
        Integer(0, 1_000_000),
        "clients an http child has at once, further ones wait; 0 = as many as it has descriptors for",
        live=True,
    )
    max_connections_per_address: int = option(
        2000,
        Integer(0, 1_000_000),
        "of them from one address, trusted proxies aside; above it 503; 0 = any number",
        live=True,
    )
    max_bodies_size: int = option(
        512 * 1024**2,
        Size(),
        "largest sum of the bodies that an http child has in hand; above it 503",
        live=True,
    )
    memory_high_water_mark: float = option(
        0.9,
        Number(0, 1),
        "share of the memory in use above which the largest worker is replaced; 0 = never",
        live=True,
    )
    getfeaturelimit: int = option(
        -1, Integer(-1, 1_000_000_000), "most features in an answer to WFS GetFeature; -1 = any number"
    )
    spool_memory: int = option(
        4 << 20, Size(), "bytes of an answer kept in memory for a slow client", live=True
    )
    spool_file: int = option(
        1 << 30, Size(), "bytes of an answer kept in a temporary file beyond that", live=True
    )
