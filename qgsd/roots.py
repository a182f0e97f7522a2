# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding a file below one of several folders, and never one outside, whatever links lead there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from qgsd.location import PROJECT_SUFFIXES, no_project, outside


class Roots:
    """Folders in the order in which they are searched. No folder given means the current one."""

    def __init__(self, folders: Iterable[str | Path]) -> None:
        self.folders = [Path(os.path.realpath(folder)) for folder in folders] or [Path(os.path.realpath("."))]

    def contains(self, path: Path) -> bool:
        """Whether the path, its links followed, lies below one of the folders."""
        return _is_within(Path(os.path.realpath(path)), self.folders)

    def find(self, path: str, suffixes: tuple[str, ...] = PROJECT_SUFFIXES, base: str = "") -> Path:
        """The file of that name, its links followed; one of the suffixes may be left out in the name.

        :param base: a folder, absolute or below the roots, that the file must lie below instead.

        Raises `LocationError`: 403 outside the folders, 404 no such file.
        """
        folders = [Path(os.path.realpath(folder / base)) for folder in self.folders]
        refused = False
        for candidate in self._candidates(path, suffixes):
            real = Path(os.path.realpath(candidate))
            if not _is_within(real, folders):
                refused = True
                continue
            # Not Path.is_file, which raises for a name that is too long.
            if os.path.isfile(real):
                return real
        raise outside() if refused else no_project(path)

    def _candidates(self, path: str, suffixes: tuple[str, ...]) -> Iterator[Path]:
        for folder in [Path("/")] if os.path.isabs(path) else self.folders:
            named = folder / path
            if named.suffix in suffixes:
                yield named
            yield from (named.with_name(named.name + suffix) for suffix in suffixes)


def as_map(project: str, folders: Iterable[str]) -> str:
    """What the administrator calls a project, as MAP says it: a file below a folder by its path there.

    >>> as_map("/srv/maps/town.qgs", ["/srv/maps"]), as_map("gis:town", []), as_map("/etc/x", ["/srv/maps"])
    ('town.qgs', 'gis:town', '/etc/x')
    """
    if os.path.isabs(project):
        for folder in folders:
            below = os.path.relpath(project, folder)
            if not below.startswith(".."):
                return below
    return project


def _is_within(real: Path, folders: Iterable[Path]) -> bool:
    return any(real.is_relative_to(folder) for folder in folders)
