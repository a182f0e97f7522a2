# SPDX-License-Identifier: GPL-2.0-or-later
"""What the handlers of one http child share."""

from __future__ import annotations

from dataclasses import dataclass, field

from tornado.httputil import HTTPConnection

from qgsd.config import Settings
from qgsd.extensions import store_schemes
from qgsd.location import Rules
from qgsd.proxy.catalog import Catalog
from qgsd.proxy.http.upstream import Upstream
from qgsd.roots import as_map
from qgsd.scoreboard import Row


@dataclass
class HttpContext:
    """The settings of the moment, the way to the workers, the projects, the connections with a request.

    `token` is the secret by which nested requests are known. `absent`: paths at which no plugin has
    anything, and until when that is believed (monotonic seconds). `default_map`: the project of requests
    that name none.
    """

    settings: Settings
    upstream: Upstream
    row: Row
    catalog: Catalog
    token: str = ""
    draining: bool = False
    absent: dict[str, float] = field(default_factory=dict)
    busy: set[HTTPConnection | None] = field(default_factory=set)
    rules: Rules = field(init=False)
    default_map: str = field(init=False)

    def __post_init__(self) -> None:
        self.configure(self.settings)

    def configure(self, settings: Settings) -> None:
        self.settings = settings
        self.rules = Rules.of(settings, store_schemes())
        self.default_map = as_map(settings.cache.default_project, settings.cache.rootdir)
