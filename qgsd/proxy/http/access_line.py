# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines of the access log in their three forms. Pure; docs/logs.md tells people of each field.

Nothing that a client, a worker or a project says can break out of its field or make a second line.
"""

from __future__ import annotations

import functools
import json
import re
import time
from abc import ABC, abstractmethod
from typing import NamedTuple

# A name that needs no quotes in the forms of text.
_PLAIN = re.compile(r"[\w./:@+~()*-]+", re.ASCII)


class Visit(NamedTuple):
    """A request that is over. Times in seconds; `size` in bytes, None for an answer without a body.

    `cache`: "kept" (answered from what is kept), "shared" (by what another request had done),
    "metatile" (cut out of the picture of several neighbours), "none".
    What is not known is empty.
    """

    client: str
    method: str
    uri: str
    protocol: str
    status: int
    size: int | None
    referer: str
    agent: str
    id: str
    seconds: float = 0.0
    queue: float = 0.0
    load: float = 0.0
    render: float = 0.0
    project: str = ""
    service: str = ""
    request: str = ""
    worker: str = ""
    cache: str = "none"
    trace: str = ""
    error: str = ""


class Form(ABC):
    """How visits are written.

    A line is a template and what differs between the visits of one request that is repeated byte for byte:
    so a kept answer costs no more than filling four places in.
    """

    def line(self, visit: Visit, now: float) -> str:
        """The line of a visit that ended `now` (seconds of the clock of the day)."""
        return self.fill(self.template(visit), visit.client, now, visit.size, visit.id, visit.trace)

    @abstractmethod
    def template(self, visit: Visit) -> str:
        """What all such visits have in common, for `fill`."""

    @abstractmethod
    def fill(self, template: str, client: str, now: float, size: int | None, id: str, trace: str) -> str:
        """The line of one of them."""


class Text(Form):
    """The common form of web servers, and behind it `name=value`; the combined one has two fields more."""

    def __init__(self, *, combined: bool) -> None:
        self._combined = combined

    def template(self, visit: Visit) -> str:
        asked = " ".join(part for part in (visit.method, visit.uri, visit.protocol) if part)
        who = f' "{_safe(visit.referer or "-")}" "{_safe(visit.agent or "-")}"' if self._combined else ""
        fields = text_fields(visit)
        failed = f" error={_value(visit.error)}" if visit.error else ""
        fixed = (f'"{_safe(asked)}" {visit.status}', f"{who} {fields}", failed)
        before, behind, end = (part.replace("%", "%%") for part in fixed)
        return f"%s - - [%s] {before} %s{behind} id=%s%s{end}"

    def fill(self, template: str, client: str, now: float, size: int | None, id: str, trace: str) -> str:
        told = f" trace={trace}" if trace else ""
        return template % (client or "-", _day_and_time(int(now)), "-" if size is None else size, id, told)


class Json(Form):
    """One JSON object a line, in ASCII, with every field in every line."""

    def template(self, visit: Visit) -> str:
        told = {
            "method": visit.method, "uri": _decoded(visit.uri), "protocol": visit.protocol,
            "status": visit.status, "referer": _decoded(visit.referer), "agent": _decoded(visit.agent),
            "seconds": round(visit.seconds, 6), "queue": round(visit.queue, 6),
            "load": round(visit.load, 6), "render": round(visit.render, 6),
            "project": visit.project, "service": visit.service, "request": visit.request,
            "worker": visit.worker, "cache": visit.cache, "error": visit.error,
        }  # fmt: skip
        fixed = json.dumps(told, separators=(",", ":")).replace("%", "%%")
        return '{"time":"%s.%03dZ","client":"%s","size":%s,"id":"%s","trace":"%s",' + fixed[1:]

    def fill(self, template: str, client: str, now: float, size: int | None, id: str, trace: str) -> str:
        second = int(now)
        rest = int(1000 * (now - second))
        return template % (_utc(second), rest, client, size or 0, id, trace)


FORMS: dict[str, Form] = {"common": Text(combined=False), "combined": Text(combined=True), "json": Json()}


def text_fields(visit: Visit) -> str:
    """Where the time went, and what was asked of whom, as `name=value`."""
    return (
        f"rt={visit.seconds:.3f} queue={visit.queue:.3f} load={visit.load:.3f} render={visit.render:.3f}"
        f" project={_value(visit.project)} service={_value(visit.service)} request={_value(visit.request)}"
        f" worker={_value(visit.worker)} cache={visit.cache}"
    )


def _safe(text: str) -> str:
    """Between double quotes, on one line, in ASCII."""
    return text.encode("unicode_escape").decode("ascii").replace('"', "%22")


def _value(text: str) -> str:
    if not text:
        return "-"
    return text if _PLAIN.fullmatch(text) else f'"{_safe(text)}"'


def _decoded(text: str) -> str:
    """Headers and addresses come as Latin-1; nearly always they are meant to be UTF-8."""
    if text.isascii():
        return text
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


@functools.lru_cache(maxsize=1)
def _day_and_time(second: int) -> str:
    return time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(second))


@functools.lru_cache(maxsize=1)
def _utc(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
