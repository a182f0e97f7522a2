# SPDX-License-Identifier: GPL-2.0-or-later
"""Marking what QGIS asks of this very server while it serves a request.

A project may have a layer from the server that serves it. Such a request must be known as
nested: it needs a worker while its parent holds one. The mark is a cookie, because QGIS sends
cookies only to the host they belong to: a request header or user agent would tell the token to
every server that a project names. Which hosts are this server's own is for the administrator and
the machine to say, never for clients: a name from a Host header would be told the token.
"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import psutil
from qgis.core import QgsNetworkAccessManager
from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtNetwork import QNetworkCookie, QNetworkCookieJar

from qgsd.config import Settings
from qgsd.nesting import COOKIE, mark


def own_hosts(settings: Settings) -> set[str]:
    """Names and addresses under which a project may name this server, or the proxy this machine works for."""
    names = {"localhost", socket.gethostname(), settings.worker.host}
    names.add(urlsplit(settings.server.proxy_url).hostname or "")
    internet = (socket.AF_INET, socket.AF_INET6)
    for addresses in psutil.net_if_addrs().values():
        # Without the scope of a link-local one, which no URL carries.
        names |= {one.address.partition("%")[0] for one in addresses if one.family in internet}
    return names - {""}


class NestingMark:
    """The cookie of this process; it says which request it serves, and how deep that is."""

    def __init__(self, token: str, settings: Settings) -> None:
        self._token = token
        # These two are kept, or PyQt would look each time for what class of Python they are: 60 µs.
        self._manager = QgsNetworkAccessManager.instance()
        self._jar: QNetworkCookieJar | None = None
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """The hosts that settings of the moment name."""
        self._cookies = [_cookie_of(host) for host in own_hosts(settings)]

    def set(self, depth: int, id: str) -> None:
        """The request `id`, at this depth, is served from now on."""
        value = mark(self._token, depth, id).encode()
        assert self._manager is not None
        self._jar = self._manager.cookieJar()
        assert self._jar is not None
        for cookie in self._cookies:
            cookie.setValue(value)
            self._jar.insertCookie(cookie)


def _cookie_of(host: str) -> QNetworkCookie:
    """The cookie for all paths and ports of a host, without its value."""
    cookie = QNetworkCookie(COOKIE.encode())
    cookie.normalize(QUrl(f"http://[{host}]/" if ":" in host else f"http://{host}/"))
    return cookie
