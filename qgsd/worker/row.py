# SPDX-License-Identifier: GPL-2.0-or-later
"""Maps that lie beside each other, and the one request that asks for all of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote_plus


@dataclass(frozen=True)
class Row:
    """GetMap requests that differ in BBOX alone, and there in one direction; see `proxy.http.tiles`.

    `axis`: the place in BBOX of the number that differs, 0 or 1. `order`: their indices, by that number.

    >>> row = Row.of([f"http://h/?MAP=m&BBOX={x},0,{x + 10},10&WIDTH=256&HEIGHT=200" for x in (20, 10)])
    >>> row.axis, row.order, row.corners(upright=False), row.corners(upright=True)
    (0, (1, 0), [(256, 0), (0, 0)], [(0, 0), (0, 200)])
    >>> row.url(upright=False)
    'http://h/?MAP=m&BBOX=10,0,30,10&WIDTH=512&HEIGHT=200'
    """

    address: str
    fields: tuple[tuple[str, str], ...]
    boxes: tuple[tuple[str, ...], ...]
    axis: int
    order: tuple[int, ...]

    @classmethod
    def of(cls, urls: Sequence[str]) -> Row:
        """Two at least. Raises ValueError for what is none."""
        address, _, query = urls[0].partition("?")
        fields = tuple(_pairs(query))
        boxes = tuple(tuple(_field(_pairs(url.partition("?")[2]), "BBOX").split(",")) for url in urls)
        if any(len(box) != 4 for box in boxes):
            raise ValueError("a BBOX has four numbers")
        axis = 0 if float(boxes[0][0]) != float(boxes[1][0]) else 1
        order = tuple(sorted(range(len(boxes)), key=lambda index: float(boxes[index][axis])))
        return cls(address, fields, boxes, axis, order)

    def field(self, name: str) -> str:
        """A parameter of all of them, decoded; empty where there is none."""
        return _field(self.fields, name)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of each, in pixels."""
        return int(self.field("WIDTH")), int(self.field("HEIGHT"))

    def whole_size(self, *, upright: bool) -> tuple[int, int]:
        """Of the picture of all, which lie one above the other or beside each other."""
        width, height = self.size
        return (width, height * len(self.boxes)) if upright else (width * len(self.boxes), height)

    def url(self, *, upright: bool) -> str:
        """The request for all."""
        first, last = self.boxes[self.order[0]], self.boxes[self.order[-1]]
        box = list(self.boxes[0])
        box[self.axis], box[self.axis + 2] = first[self.axis], last[self.axis + 2]
        width, height = self.whole_size(upright=upright)
        told = {"BBOX": ",".join(box), "WIDTH": str(width), "HEIGHT": str(height)}
        pieces = [f"{name}={told.get(name.upper(), value)}" for name, value in self.fields]
        return f"{self.address}?{'&'.join(pieces)}"

    def corners(self, *, upright: bool) -> list[tuple[int, int]]:
        """Where in that picture each begins, from above and left."""
        width, height = self.size
        corners = [(0, 0)] * len(self.boxes)
        for place, index in enumerate(self.order):
            corners[index] = (0, height * (len(self.order) - 1 - place)) if upright else (width * place, 0)
        return corners


def _pairs(query: str) -> list[tuple[str, str]]:
    """Names decoded, values as they are written."""
    parts = (part.partition("=") for part in query.split("&") if part)
    return [(quote(unquote_plus(name), safe="/:"), value) for name, _, value in parts]


def _field(pairs: Sequence[tuple[str, str]], name: str) -> str:
    return next((unquote_plus(value) for given, value in pairs if given.upper() == name), "")
