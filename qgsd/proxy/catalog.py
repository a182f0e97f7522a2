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
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO
from xml.parsers import expat

from qgsd.location import PROJECT_SUFFIXES, Location, LocationError, parse_map
from qgsd.roots import Roots

logger = logging.getLogger("qgsd.catalog")

MAX_PROJECTS = 2000
_PIECE = 64 << 10
# A .qgz of a few kilobytes may unpack to anything; no project's texts lie beyond this.
_MAX_READ = 64 << 20

_PROPERTIES = ("qgis", "properties")
_METADATA = ("qgis", "projectMetadata")
# Where the texts are, the most telling place first: QGIS Server's own choice, then what the author wrote.
_TITLES = ((*_PROPERTIES, "WMSServiceTitle"), ("qgis", "title"), (*_METADATA, "title"))
_ABSTRACTS = ((*_PROPERTIES, "WMSServiceAbstract"), (*_METADATA, "abstract"))
_PLACES = frozenset(_TITLES + _ABSTRACTS)

Place = tuple[str, ...]
Texts = tuple[str, str]
Version = tuple[int, int]


@dataclass(frozen=True)
class CatalogEntry:
    """A project: `map` is what a client writes into MAP=."""

    map: str
    title: str
    abstract: str


class Catalog:
    """Lists the projects; reads each file once for every change of it. To be asked from any thread."""

    def __init__(self, *folders: str | Path) -> None:
        self._roots = Roots(folders)
        self._read: dict[Path, tuple[Version, Texts]] = {}
        self._reading = threading.Lock()

    def projects(self) -> list[CatalogEntry]:
        """All projects, by title. A file that cannot be read is listed under its name."""
        # Who comes while another reads waits for that one's result instead of reading it all again.
        with self._reading:
            read: dict[Path, tuple[Version, Texts]] = {}
            names: dict[Path, Path] = {}
            for folder, path, version in self._files():
                known = self._read.get(path)
                read[path] = known if known and known[0] == version else (version, _texts(path))
                # The first folder that has a file of that name is the one that is asked for it.
                names.setdefault(path.relative_to(folder), path)
            self._read = read
        stems = Counter(name.with_suffix("") for name in names)
        entries = (_entry(name, read[path][1], stems) for name, path in names.items())
        return sorted(entries, key=lambda entry: (entry.title.casefold(), entry.map))

    def find(self, location: Location) -> Path:
        """The file of a location, by the rules that workers follow.

        Raises `LocationError`: 403 outside the root, 404 no such file.
        """
        return self._roots.find(location.path)

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


def _entry(name: Path, texts: Texts, stems: Counter[Path]) -> CatalogEntry:
    stem = name.with_suffix("")
    # `a.qgs.qgz` without its suffix would name another file.
    short = stems[stem] == 1 and stem.suffix not in PROJECT_SUFFIXES
    title, abstract = texts
    return CatalogEntry(str(stem if short else name), title or name.stem, abstract)


def _can_be_asked_for(name: str) -> bool:
    """MAP= can carry the name: it is text, and none of what `parse_map` refuses or reads otherwise."""
    try:
        name.encode()
        return parse_map(name).path == name
    except (UnicodeError, LocationError):
        return False


def _texts(path: Path) -> Texts:
    """Title and abstract, empty where the file has none or cannot be read."""
    found: dict[Place, str] = {}
    try:
        if path.suffix == ".qgs":
            with path.open("rb") as file:
                found = _TextFinder().search(file)
        else:
            with zipfile.ZipFile(path) as archive:
                inner = next(n for n in archive.namelist() if PurePosixPath(n).suffix == ".qgs")
                with archive.open(inner) as file:
                    found = _TextFinder().search(file)
    # zipfile alone knows a dozen ways to fail; one bad file must not hide all the others.
    except Exception as error:
        logger.info("%s: title and abstract cannot be read: %r", path, error)
    return _first(found, _TITLES), _first(found, _ABSTRACTS)


def _first(found: dict[Place, str], places: tuple[Place, ...]) -> str:
    """The first text that is not empty."""
    return next((found[place] for place in places if found.get(place)), "")


class _EntityDeclared(ValueError):
    """A project file has no business to declare entities: they serve to read files or to fill memory."""


class _TextFinder:
    """Streams through a project's XML and keeps a few texts, but no tree.

    QGIS writes a DOCTYPE with a public identifier. It is never fetched.
    """

    def __init__(self) -> None:
        self._path: list[str] = []
        self._found: dict[Place, str] = {}
        self._wanted: Place | None = None
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.EntityDeclHandler = self._refuse_entity

    def search(self, file: IO[bytes]) -> dict[Place, str]:
        """What is found, until all of the service's own texts are there or the file ends."""
        read = 0
        needed = {_TITLES[0], _ABSTRACTS[0]}
        while read < _MAX_READ and not needed <= self._found.keys():
            piece = file.read(_PIECE)
            read += len(piece)
            self._parser.Parse(piece, not piece)
            if not piece:
                break
        return {place: text.strip() for place, text in self._found.items()}

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        # QGIS 3 writes <WMSServiceTitle>, QGIS 4 <properties name="WMSServiceTitle">.
        self._path.append(attributes.get("name", tag) if tag == "properties" else tag)
        if len(self._path) > 3:
            return
        if len(self._path) == 2 and tag == "properties":
            self._path[-1] = tag
        place = tuple(self._path)
        if place in _PLACES:
            self._wanted = place
            self._parser.CharacterDataHandler = self._text

    def _end(self, _tag: str) -> None:
        self._path.pop()
        if self._wanted is not None and len(self._path) < len(self._wanted):
            self._wanted = None
            self._parser.CharacterDataHandler = None

    def _text(self, data: str) -> None:
        if self._wanted is not None:
            self._found[self._wanted] = self._found.get(self._wanted, "") + data

    def _refuse_entity(self, name: str, *_: object) -> None:
        raise _EntityDeclared(f"declares the entity '{name}'")
