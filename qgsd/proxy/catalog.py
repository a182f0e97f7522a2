# SPDX-License-Identifier: GPL-2.0-or-later
"""The projects below a root folder, and what their files say of themselves. Knows no HTTP and no QGIS."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

from qgsd.location import PROJECT_SUFFIXES

MAX_PROJECTS = 2000
_PIECE = 65536
# The title and the service texts; the layers between them can be megabytes and are only skipped.
_MAX_READ = 64 << 20


@dataclass(frozen=True)
class CatalogEntry:
    """A project: `map` is what a client writes into MAP=."""

    map: str
    title: str
    abstract: str


class Catalog:
    """Reads each file once for every change of it."""

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.realpath(root))
        self._read: dict[Path, tuple[tuple[int, int], CatalogEntry]] = {}

    def projects(self) -> list[CatalogEntry]:
        """All projects, by title. A file that cannot be read is listed under its name."""
        files = list(self._files())
        read = {}
        for path in files:
            try:
                status = path.stat()
            except OSError:
                continue
            version = (status.st_mtime_ns, status.st_size)
            known = self._read.get(path)
            read[path] = known if known and known[0] == version else (version, self._entry(path, files))
        self._read = read
        return sorted((entry for _, entry in read.values()), key=lambda entry: entry.title.casefold())

    def _files(self) -> Iterator[Path]:
        """Project files, hidden folders and links out of the root left out."""
        found = 0
        for folder, folders, names in os.walk(self._root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                path = Path(folder, name)
                if path.suffix not in PROJECT_SUFFIXES or name.startswith("."):
                    continue
                if not Path(os.path.realpath(path)).is_relative_to(self._root):
                    continue
                yield path
                found += 1
                if found == MAX_PROJECTS:
                    return

    def _entry(self, path: Path, files: list[Path]) -> CatalogEntry:
        relative = path.relative_to(self._root)
        twins = [other for other in files if other.with_suffix("") == path.with_suffix("")]
        name = str(relative if len(twins) > 1 else relative.with_suffix(""))
        try:
            title, abstract = _texts(path)
        except (OSError, ParseError, zipfile.BadZipFile, KeyError, UnicodeError):
            title, abstract = "", ""
        return CatalogEntry(name, title or relative.stem, abstract)


def _texts(path: Path) -> tuple[str, str]:
    """Title and abstract that the project publishes, as far as it has any."""
    if path.suffix == ".qgs":
        with path.open("rb") as file:
            return _parse(file)
    with zipfile.ZipFile(path) as archive:
        inner = next((name for name in archive.namelist() if name.endswith(".qgs")), "")
        with archive.open(inner) as file:
            return _parse(file)


def _parse(file: IO[bytes]) -> tuple[str, str]:
    """Stream through the XML; expat expands no external entity, and bounds the internal ones itself."""
    parser: XMLPullParser[Element] = XMLPullParser(["start", "end"])
    texts = {"title": "", "WMSServiceTitle": "", "WMSServiceAbstract": ""}
    depth, read = 0, 0
    while (piece := file.read(_PIECE)) and read < _MAX_READ:
        read += len(piece)
        parser.feed(piece)
        for event, element in cast(Iterator[tuple[str, Element]], parser.read_events()):
            depth += 1 if event == "start" else -1
            if event == "end":
                wanted = element.tag in texts and (element.tag != "title" or depth == 1)
                if wanted and not texts[element.tag]:
                    texts[element.tag] = (element.text or "").strip()
                element.clear()
    return texts["WMSServiceTitle"] or texts["title"], texts["WMSServiceAbstract"]
