# SPDX-License-Identifier: GPL-2.0-or-later
"""Files whose change means that the running code is outdated: the restart trigger, plugins' manifests.

Looked at now and then rather than watched: they are few, and on network file systems, where
plugins often live, nothing can be watched.
"""

from __future__ import annotations

import os
from pathlib import Path

_MANIFESTS = ("*/.update-manifest", "*/metadata.txt")

_State = tuple[int, int, int]


def _state(path: Path) -> _State | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


class Triggers:
    """`trigger` is server.restartmon, `pluginpath` as QGIS has it; both may be empty."""

    def __init__(self, trigger: str, pluginpath: str) -> None:
        self._trigger = trigger
        self._plugins = [Path(part) for part in pluginpath.split(os.pathsep) if part]
        self._known = self._look()
        self._settling: dict[Path, _State] | None = None

    def _look(self) -> dict[Path, _State]:
        paths = [Path(self._trigger)] if self._trigger else []
        paths += [path for root in self._plugins for pattern in _MANIFESTS for path in root.glob(pattern)]
        seen = {path: _state(path) for path in paths}
        return {path: state for path, state in seen.items() if state is not None}

    def changed(self) -> str:
        """The reason for a restart, once the change has come to rest between two looks; else empty.

        A file that has gone is no reason: what it belonged to cannot be loaded any better.
        """
        now = self._look()
        news = [path for path, state in now.items() if self._known.get(path) != state]
        if not news:
            self._known, self._settling = now, None
            return ""
        if now != self._settling:
            self._settling = now
            return ""
        self._known, self._settling = now, None
        return f"{news[0]} has changed"
