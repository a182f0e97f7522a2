# SPDX-License-Identifier: GPL-2.0-or-later
"""Which answers may be kept, for how long, and when two requests have the same one. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

Kind = Literal["document", "image", "feature", ""]

# Say what there is, and change only with the project.
_DOCUMENTS = {
    "getcapabilities", "getprojectsettings", "describefeaturetype", "describecoverage", "describelayer",
    "getstyle", "getstyles", "getcontext", "getschemaextension",
}  # fmt: skip
_IMAGES = {"getmap", "gettile", "getlegendgraphic", "getlegendgraphics"}
_FEATURES = {"getfeature", "getfeatureinfo", "getcoverage"}
_SERVICES = {"", "wms", "wfs", "wcs", "wmts"}

# What QGIS itself reads of a request's headers; `-service-url` ends some more.
_READ_BY_QGIS = {
    "host", "accept", "accept-language", "forwarded", "x-forwarded-host", "x-forwarded-proto",
}  # fmt: skip
# Left out of the addresses that QGIS writes into documents, and understood in any case and place.
_UNSEEN = {"SERVICE", "REQUEST", "VERSION"}
_MAX_SECONDS = 366 * 86400.0


def kind_of(service: str, operation: str) -> Kind:
    """What an OWS request is for.

    >>> kind_of("WMS", "GetCapabilities"), kind_of("WMTS", "gettile"), kind_of("MINE", "GetStyles")
    ('document', 'image', '')
    """
    name = operation.lower()
    if service.lower() not in _SERVICES:
        return ""
    if name in _DOCUMENTS:
        return "document"
    return "image" if name in _IMAGES else "feature" if name in _FEATURES else ""


def kind_of_path(path: str) -> Kind:
    """The same for a path of OGC API Features.

    >>> kind_of_path("/wfs3/collections.json"), kind_of_path("/wfs3/collections/places/items")
    ('document', 'feature')
    """
    return "feature" if "/items" in path else "document"


@dataclass(frozen=True, slots=True)
class Rule:
    """Seconds that images and features of a project are kept, 0: not; and whether documents are."""

    images: float = 0.0
    features: float = 0.0
    documents: bool = True


def parse_rule(text: str) -> Rule:
    """
    >>> parse_rule("images 3600, documents no")
    Rule(images=3600.0, features=0.0, documents=False)

    Raises ValueError.
    """
    found: dict[str, float | bool] = {}
    for part in text.split(","):
        word, _, value = part.strip().partition(" ")
        if word == "documents" and value.strip() in ("yes", "no"):
            found[word] = value.strip() == "yes"
        elif word in ("images", "features") and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,3})?", value.strip()):
            found[word] = min(float(value), _MAX_SECONDS)
        else:
            raise ValueError(f"{part.strip()!r} is not understood")
    return Rule(**found)  # type: ignore[arg-type]


def pattern_name(text: str) -> str:
    """A project as in MAP, or a pattern of several. Raises ValueError."""
    if not text or re.search(r"[\s=\[\]?]", text):
        raise ValueError(f"{text!r} is not a project")
    return text


def fits(pattern: str, project: str) -> bool:
    """Whether a pattern as `pattern_name` takes it means this project.

    >>> fits("town/*", "town/sewers.qgz"), fits("town", "town.qgs"), fits("town", "town/sewers.qgz")
    (True, True, False)
    """
    return any(fnmatchcase(name, pattern) for name in _names(project))


def _names(project: str) -> tuple[str, str]:
    return project, re.sub(r"\.qg[sz]$", "", project)


class Rules:
    """For how long answers are kept, by project and kind."""

    def __init__(self, documents: bool, by_project: Mapping[str, str]) -> None:
        self._documents = documents
        self._rules = [(pattern, parse_rule(text)) for pattern, text in by_project.items()]
        self._found: dict[str, Rule] = {}

    def seconds(self, kind: Kind, project: str) -> float | None:
        """How long an answer may be kept: 0 until the project changes, None for not at all."""
        if kind == "document":
            return 0.0 if self._documents and self._of(project).documents else None
        seconds = self._of(project).images if kind == "image" else self._of(project).features
        return seconds or None if kind else None

    def _of(self, project: str) -> Rule:
        rule = self._found.get(project)
        if rule is None:
            if len(self._found) > 10_000:
                self._found.clear()
            rule = self._found[project] = self._search(project)
        return rule

    def _search(self, project: str) -> Rule:
        exact = [r for pattern, r in self._rules if pattern in _names(project)]
        fitting = [r for pattern, r in self._rules if fits(pattern, project)]
        return [*exact, *fitting, Rule()][0]


def digest(project: str, url: str, headers: Iterable[tuple[str, str]], depends: Iterable[str]) -> bytes:
    """The same for GET requests that have the same answer.

    Parameters are told apart as they are written, for QGIS repeats them in the addresses of documents, and
    in their order, but for the three that it leaves out there. `headers` are those that QGIS gets; of these
    count what it reads itself and `depends`, in small letters.

    >>> def of(query, *headers): return digest("p", "http://h/ows/?" + query, headers, ["x-user"])
    >>> of("MAP=p&SERVICE=WMS&request=x") == of("REQUEST=x&service=WMS&MAP=p")
    True
    >>> of("map=p&SERVICE=WMS") == of("MAP=p&SERVICE=WMS")
    False
    >>> of("MAP=p", ("X-User", "a")) == of("MAP=p", ("X-User", "b")), of("", ("X-Any", "a")) == of("")
    (False, True)
    """
    address, _, query = url.partition("?")
    unseen: dict[str, list[str]] = {}
    seen = []
    for piece in query.split("&"):
        name, _, value = piece.partition("=")
        if name.upper() in _UNSEEN:
            unseen.setdefault(name.upper(), []).append(value)
        else:
            seen.append(piece)
    names = _READ_BY_QGIS.union(depends)
    told = sorted(
        (name, value)
        for name, value in ((name.lower(), value) for name, value in headers)
        if name in names or name.endswith("-service-url")
    )
    # With lengths, so that nothing that a client writes can pass for something else.
    packed = msgspec.msgpack.encode((project, address, sorted(unseen.items()), seen, told))
    return hashlib.blake2b(packed, digest_size=16).digest()
