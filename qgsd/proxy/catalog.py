# SPDX-License-Identifier: GPL-2.0-or-later
"""The projects below the root folders, and what their files say of themselves. Knows no HTTP and no QGIS.

Only the files' texts are read, so the list costs no worker. What is listed can be
asked for: a name that MAP= could not carry is left out.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from qgsd.keeping import fits
from qgsd.location import PROJECT_SUFFIXES, Location, LocationError, parse_map
from qgsd.proxy import project_text
from qgsd.proxy.project_text import About
from qgsd.roots import Roots

logger = logging.getLogger("qgsd.catalog")

MAX_PROJECTS = 2000
Version = tuple[int, int]


@dataclass(frozen=True)
class CatalogEntry:
    """A project: `map` is what a client writes into MAP=; `title` its own, else its file's name."""

    map: str
    title: str
    about: About


class Catalog:
    """Lists the projects; reads each file once for every change of it. To be asked from any thread."""

    def __init__(self, *folders: str | Path) -> None:
        self._roots = Roots(folders)
        self._read: dict[Path, tuple[Version, About]] = {}
        self._reading = threading.Lock()

    def projects(self, hidden: Iterable[str] = ()) -> list[CatalogEntry]:
        """The projects that may be listed, by title. A file that cannot be read is listed under its name.

        :param hidden: projects and patterns of them that are left out.
        """
        # Who comes while another reads waits for that one's result instead of reading it all again.
        with self._reading:
            read: dict[Path, tuple[Version, About]] = {}
            names: dict[Path, Path] = {}
            for folder, path, version in self._files():
                known = self._read.get(path)
                read[path] = known if known and known[0] == version else (version, _about(path))
                # The first folder that has a file of that name is the one that is asked for it.
                names.setdefault(path.relative_to(folder), path)
            self._read = read
        stems = Counter(name.with_suffix("") for name in names)
        entries = (_entry(name, read[path][1], stems) for name, path in names.items())
        patterns = list(hidden)
        shown = (
            entry
            for entry in entries
            if entry.about.listed and not any(fits(pattern, entry.map) for pattern in patterns)
        )
        return sorted(shown, key=lambda entry: (entry.title.casefold(), entry.map))

    def find(self, location: Location) -> Path:
        """The file of a location, by the rules that workers follow.

        Raises `LocationError`: 403 outside the root, 404 no such file.
        """
        return self._roots.find(location.path)

    def about(self, path: Path) -> About:
        """What the file says; nothing where it cannot be read."""
        version = self._version(path)
        known = self._read.get(path)
        if version is None or (known and known[0] == version):
            return known[1] if known else About()
        about = _about(path)
        self._read[path] = version, about
        return about

    def _files(self) -> Iterator[tuple[Path, Path, Version]]:
        """Root, project file and its version; hidden ones and links out of the roots are left out."""
        found = 0
        for root in self._roots.folders:
            for path in _project_files(root):
                version = self._version(path)
                if version is None or not _can_be_asked_for(str(path.relative_to(root))):
                    continue
                if found == MAX_PROJECTS:
                    logger.warning("there are more than %d projects, the rest is not listed", found)
                    return
                found += 1
                yield root, path, version

    def _version(self, path: Path) -> Version | None:
        """Time and size; None where there is no file that may be served."""
        try:
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                if not self._roots.contains(path):
                    return None
                status = path.stat()
        except OSError:
            return None
        # Opening a pipe would wait for its writer.
        return (status.st_mtime_ns, status.st_size) if stat.S_ISREG(status.st_mode) else None


def _project_files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        wanted = (name for name in names if name.endswith(PROJECT_SUFFIXES) and not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(wanted))


def _entry(name: Path, about: About, stems: Counter[Path]) -> CatalogEntry:
    stem = name.with_suffix("")
    # `a.qgs.qgz` without its suffix would name another file.
    short = stems[stem] == 1 and stem.suffix not in PROJECT_SUFFIXES
    return CatalogEntry(str(stem if short else name), about.title or name.stem, about)


def _can_be_asked_for(name: str) -> bool:
    """MAP= can carry the name: it is text, and none of what `parse_map` refuses or reads otherwise."""
    try:
        name.encode()
        return parse_map(name).path == name
    except (UnicodeError, LocationError):
        return False


def _about(path: Path) -> About:
    """What the file says, nothing where it cannot be read."""
    try:
        return project_text.read(path)
    # zipfile alone knows a dozen ways to fail; one bad file must not hide all the others.
    except Exception as error:
        logger.info("%s: title, layers and extent cannot be read: %r", path, error)
        return About()
