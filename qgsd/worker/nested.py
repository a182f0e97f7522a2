# SPDX-License-Identifier: GPL-2.0-or-later
"""Marking what QGIS asks of this very server while it serves a request.

A project may have a layer from the server that serves it. Such a request must be known as
nested: it needs a worker while its parent holds one. The mark is a cookie, because QGIS sends
cookies only to the host they belong to: a request header or user agent would tell the token to
every server that a project names. Names of the host are those that clients have used.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from qgis.core import QgsNetworkAccessManager
from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtNetwork import QNetworkCookie

from qgsd.nesting import COOKIE, mark

_LOCAL = ("127.0.0.1", "localhost")


class NestingMark:
    """The cookie of this process; it says which request it serves, and how deep that is."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._hosts = set(_LOCAL)

    def set(self, url: str, depth: int, id: str) -> None:
        """The request `id` for `url`, at this depth, is served from now on."""
        self._hosts.add(urlsplit(url).hostname or "")
        cookie = QNetworkCookie(COOKIE.encode(), mark(self._token, depth, id).encode())
        manager = QgsNetworkAccessManager.instance()
        assert manager is not None
        jar = manager.cookieJar()
        for name in self._hosts:
            jar.setCookiesFromUrl([cookie], QUrl(f"http://{name}/"))
