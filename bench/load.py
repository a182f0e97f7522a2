# SPDX-License-Identifier: GPL-2.0-or-later
"""What is asked of a server, and what came of it: the words between workloads, servers and clients."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlencode

# All servers are asked under this name, so that their answers are alike byte for byte.
HOST = "bench.example"


@dataclass(frozen=True)
class Request:
    """A GET of `path`; `expected` is the length and CRC-32 of the right answer's body, None to take any."""

    path: str
    headers: tuple[tuple[str, str], ...] = ()
    status: int = 200
    expected: tuple[int, int] | None = None


@dataclass(frozen=True)
class Stream:
    """Requests that `connections` clients ask in a closed loop, each taking the next one of the list."""

    requests: tuple[Request, ...]
    connections: int = 4
    name: str = "all"


@dataclass(frozen=True)
class Load:
    """Streams beside each other, for so many seconds, or until `count` answers of the first stream."""

    streams: tuple[Stream, ...]
    seconds: float = 5.0
    count: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Result:
    """Of one stream: seconds of each answer and to its first byte; `wrong` tells why answers were wrong."""

    took: float = 0.0
    seconds: list[float] = field(default_factory=list)
    first_byte: list[float] = field(default_factory=list)
    failed: int = 0
    wrong: list[str] = field(default_factory=list)
    answers: int = 0

    @property
    def rate(self) -> float:
        """Right answers a second."""
        return (self.answers - self.failed) / self.took if self.took else 0.0

    def quantile(self, q: float) -> float:
        """Seconds within which this share of the answers was there."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else float("nan")

    @property
    def median(self) -> float:
        return statistics.median(self.seconds) if self.seconds else float("nan")


def ows(map: str, **parameters: str | int) -> str:
    """The path of an OWS request; every server is given the same one."""
    return "/ows/?" + urlencode({"MAP": map, **parameters})
