# SPDX-License-Identifier: GPL-2.0-or-later
"""How the catalogue is written down: one `Ask` a request, and short ways to make many of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from urllib.parse import quote

FORM = "application/x-www-form-urlencoded"
XML = "text/xml; charset=utf-8"


@dataclass(frozen=True)
class Ask:
    """One request. `note` tells apart what the address does not.

    `crashes`: QGIS is known to crash on it; qgsd must answer 500 and go on.
    """

    target: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    note: str = ""
    crashes: bool = False

    @property
    def name(self) -> str:
        what = (
            f"{self.method} {self.target}" if not self.note else f"{self.note}: {self.method} {self.target}"
        )
        return what if len(what) < 150 else what[:147] + "..."

    def but(self, **changes: object) -> Ask:
        return replace(self, **changes)  # type: ignore[arg-type]


Fields = Mapping[str, object]


def query(fields: Fields) -> str:
    return "&".join(
        f"{quote(name, safe=':')}={quote(str(value), safe=':,/;()')}" for name, value in fields.items()
    )


def ows(*parts: Fields, project: str = "survey.qgs", note: str = "", **more: object) -> Ask:
    """A GET on `/ows/`; later parts override earlier ones, and None takes a field out."""
    fields: dict[str, object] = {"MAP": project}
    for part in (*parts, more):
        fields |= part
    return Ask("/ows/?" + query({k: v for k, v in fields.items() if v is not None}), note=note)


def each(base: Fields, *choices: Iterable[Fields], project: str = "survey.qgs") -> list[Ask]:
    """The product of the choices, laid over the base."""
    return [ows(base, *chosen, project=project) for chosen in product(*choices)]


def values(name: str, *options: object) -> list[dict[str, object]]:
    return [{name: option} for option in options]


def post(body: str | bytes, target: str = "/ows/?MAP=survey.qgs", kind: str = XML, note: str = "") -> Ask:
    data = body.encode() if isinstance(body, str) else body
    return Ask(target, "POST", {"Content-Type": kind}, data, note)


def form(ask: Ask, note: str = "form", keep_map: bool = True) -> Ask:
    """The same request as a posted form; MAP stays in the address unless told otherwise."""
    path, _, fields = ask.target.partition("?")
    first, _, rest = fields.partition("&")
    target, data = (f"{path}?{first}", rest) if keep_map else (path, fields)
    return Ask(target, "POST", {"Content-Type": FORM}, data.encode(), note)
