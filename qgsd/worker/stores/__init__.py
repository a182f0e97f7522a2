# SPDX-License-Identifier: GPL-2.0-or-later
"""Where projects are read from: the built-in stores and those of other packages, by scheme."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from qgsd.config import Settings
from qgsd.extensions import STORES, store_schemes
from qgsd.location import Location, LocationError, Rules, canonical_scheme, no_project
from qgsd.worker.stores.base import ProjectError, Source, Store, StoreUnavailable

__all__ = ["ProjectError", "Source", "Store", "StoreUnavailable", "Stores", "load_stores"]

logger = logging.getLogger("qgsd.projects")

_BUILTIN = (
    EntryPoint("file", "qgsd.worker.stores.files:FileStore", STORES),
    EntryPoint("geopackage", "qgsd.worker.stores.geopackage:GeoPackageStore", STORES),
    EntryPoint("postgresql", "qgsd.worker.stores.postgresql:PostgresStore", STORES),
)

Factory = Callable[[Settings], Store]


@cache
def load_stores() -> tuple[dict[str, Factory], dict[str, str]]:
    """What makes each store, by scheme, and the reasons of those that cannot be imported.

    To be called before the fork, so that no worker has to import them.
    """
    factories: dict[str, Factory] = {}
    broken: dict[str, str] = {}
    # A built-in store cannot be replaced by accident.
    for point in (*entry_points(group=STORES), *_BUILTIN):
        try:
            factories[canonical_scheme(point.name)] = point.load()
        except Exception as error:
            broken[canonical_scheme(point.name)] = f"{point.value}: {error or type(error).__name__}"
    return factories, broken


class Stores:
    """The stores of one worker, under the settings of the moment.

    One that cannot be made is logged; the others work.
    """

    def __init__(self, settings: Settings) -> None:
        factories, broken = load_stores()
        self._broken = dict(broken)
        self._stores: dict[str, Store] = {}
        for scheme, factory in factories.items():
            try:
                store = factory(settings)
                if not isinstance(store, Store):
                    raise TypeError(f"{type(store).__name__} is no qgsd.worker.stores.Store")
                self._stores[scheme] = store
            except Exception as error:
                self._broken[scheme] = str(error) or type(error).__name__
                logger.error("projects of the scheme %s: cannot be served: %s", scheme, self._broken[scheme])
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Take over settings that change while qgsd runs: aliases, and what is allowed."""
        self._rules = Rules.of(settings, store_schemes())

    def locate(self, key: str) -> Source:
        """Where the project of that key is. Raises `LocationError` (403, 404, 503)."""
        place = self._rules.expand(Location.from_key(key))
        store = self._stores.get(place.scheme)
        if store is None and place.scheme in self._broken:
            raise StoreUnavailable(f"the store of '{place.scheme}:' does not work; the log has the reason")
        if store is None:
            message = f"there is no project store with the scheme '{place.scheme}:'"
            raise LocationError(404, "unknown_scheme", message)
        try:
            return Source(key, store, store.resolve(place))
        except LocationError as error:
            if error.status != 404:
                raise
            # By the name the client used: the place behind an alias is not for clients.
            raise no_project(key) from error
