# SPDX-License-Identifier: GPL-2.0-or-later
"""On which request headers the answers depend: on those that plugins declare, or nobody knows.

QGIS itself reads only headers that the http child knows of. A plugin that filters, controls access or keeps
a cache may read others, and answer one user otherwise than the next. So nothing is kept of the answers of
a server with such a plugin, unless it declares what its answers depend on, in its metadata.txt:

    [general]
    answersDependOn=X-Lizmap-User, X-Lizmap-User-Groups

`nothing` stands for: on the request's address and parameters alone. What the operator says in
`[answers.plugins]` counts more. Plugins that only add services or OGC APIs of their own need no word.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping

from qgis.server import QgsServerInterface, QgsService, QgsServiceRegistry

from qgsd.config.forms import header_list

_CORE_SERVICES = {"WMS", "WFS", "WCS", "WMTS"}
_OUTSIDE = "?"


class Dependence:
    """Notes which plugins can change the answers of others, and what they declare.

    `by_operator`: the headers by plugin, as in `[answers.plugins]`.
    """

    def __init__(self, by_operator: Mapping[str, str]) -> None:
        self._by_operator = by_operator
        self._code = secrets.token_hex(8)
        self._loading = _OUTSIDE
        self._declared: dict[str, str] = {}
        self._meddling: set[str] = set()
        self._told = False

    def watch(self, interface: QgsServerInterface) -> None:
        """From now on see what plugins register here. QGIS does not tell afterwards."""
        # Its methods are abstract, so they are replaced on the one object that all plugins get.
        self._interface = interface
        for name in ("registerFilter", "registerAccessControl", "registerServerCache"):
            setattr(interface, name, self._noting(getattr(interface, name)))
        register = QgsServiceRegistry.registerService

        def register_service(registry: QgsServiceRegistry, service: QgsService) -> object:
            if (service.name() or "").upper() in _CORE_SERVICES:
                self._meddling.add(self._loading)
            return register(registry, service)

        QgsServiceRegistry.registerService = register_service  # type: ignore[method-assign,assignment]

    def _noting(self, register: Callable[..., object]) -> Callable[..., object]:
        def register_and_note(*arguments: object, **named: object) -> object:
            self._meddling.add(self._loading)
            return register(*arguments, **named)

        return register_and_note

    @contextlib.contextmanager
    def loading(self, plugin: str, declared: str) -> Iterator[None]:
        """What is registered meanwhile is this plugin's; `declared` in its own words, or empty."""
        self._loading = plugin
        self._declared[plugin] = self._by_operator.get(plugin, declared)
        try:
            yield
        finally:
            self._loading = _OUTSIDE

    def depends(self) -> list[str] | None:
        """The headers in small letters; None when a plugin does not tell."""
        self._told = True
        names: set[str] = set()
        for plugin in self._meddling:
            try:
                names.update(header_list(self._declared.get(plugin, "")))
            except ValueError:
                return None
        return sorted(names)

    @property
    def code(self) -> str:
        """The same for all workers of a template; empty once answers depend on more than was told."""
        late = self._told and _OUTSIDE in self._meddling
        return "" if late else self._code

    def undeclared(self) -> list[str]:
        """Plugins for whose sake nothing is kept."""
        found = []
        for plugin in sorted(self._meddling):
            try:
                header_list(self._declared.get(plugin, ""))
            except ValueError:
                found.append(plugin)
        return found
