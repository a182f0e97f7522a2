# SPDX-License-Identifier: GPL-2.0-or-later
"""What the handlers of one http child share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tornado.httputil import HTTPConnection, HTTPHeaders

from qgsd import keeping
from qgsd.config import Settings
from qgsd.extensions import store_schemes
from qgsd.location import Rules
from qgsd.proxy.catalog import Catalog
from qgsd.proxy.http.store import Store
from qgsd.proxy.http.tiles import TileRules
from qgsd.proxy.http.trust import Proxies, client_of
from qgsd.proxy.http.upstream import Upstream
from qgsd.roots import as_map
from qgsd.scoreboard import Row

if TYPE_CHECKING:
    from qgsd.proxy.http.access_log import AccessLog, SlowLog
    from qgsd.proxy.http.handlers import ServiceHandler
    from qgsd.proxy.http.hot import HotAnswers
    from qgsd.proxy.http.spans import Spans


# So many names of projects are remembered.
_KEYS = 1000


@dataclass
class HttpContext:
    """The settings of the moment, the way to the workers, the projects, the connections with a request.

    `token` is the secret by which nested requests are known. `absent`: paths at which no plugin has
    anything, and until when that is believed (monotonic seconds). `default_map`: the project of requests
    that name none. `body_bytes`: of all requests in hand. `on_finished` is called with each that is answered.
    """

    settings: Settings
    upstream: Upstream
    row: Row
    catalog: Catalog
    store: Store
    access_log: AccessLog
    slow_log: SlowLog
    token: str = ""
    draining: bool = False
    body_bytes: int = 0
    absent: dict[str, float] = field(default_factory=dict)
    busy: set[HTTPConnection | None] = field(default_factory=set)
    rules: Rules = field(init=False)
    default_map: str = field(init=False)
    keeping: keeping.Rules = field(init=False)
    tile_rules: TileRules = field(init=False)
    hot: HotAnswers | None = None
    spans: Spans | None = None
    on_finished: list[Callable[[ServiceHandler], None]] = field(default_factory=list)
    count_hit: Callable[[tuple[str, str, str], int, float], None] | None = None

    def __post_init__(self) -> None:
        self.configure(self.settings)

    def configure(self, settings: Settings) -> None:
        self.settings = settings
        self._proxies = Proxies(settings.server.trusted_proxies if settings.server.http_proxy else ())
        self.rules = Rules.of(settings, store_schemes())
        self._key = functools.lru_cache(maxsize=_KEYS)(self._locate)
        self.default_map = as_map(settings.cache.default_project, settings.cache.rootdir)
        self.keeping = keeping.Rules(settings.answers.documents, settings.answer_rules)
        self.tile_rules = TileRules(settings.metatiles)
        self.store.resize(settings.answers.memory)
        self.access_log.configure(settings.logging)
        self.slow_log.threshold = settings.logging.slow
        if self.hot is not None:
            self.hot.forget()

    def project_key(self, named: str) -> str:
        """The key of the project that a client's MAP names, as `Rules.locate` finds it."""
        return self._key(named)

    def _locate(self, named: str) -> str:
        return self.rules.locate(named).key

    def trusts(self, client: str) -> bool:
        """Whether the headers of that address are heeded which say what a proxy has been asked for."""
        return client in self._proxies

    def real_client(self, peer: str, headers: HTTPHeaders) -> str:
        """Whom a trusted peer asks for."""
        return client_of(peer, headers, self._proxies)
