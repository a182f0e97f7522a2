# SPDX-License-Identifier: GPL-2.0-or-later
"""What the dashboard shows, sent to all who look as it changes: one gathering for all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from prometheus_client.metrics_core import Metric

from qgsd import metrics
from qgsd.admin.exposition import Gauges
from qgsd.admin.handlers import AdminContext
from qgsd.admin.link import Event
from qgsd.control import ControlError

logger = logging.getLogger("qgsd.admin")

_EVERY = 2.0
# One who is so far behind does not read any more.
_MOST_WAITING = 200
_MOST_VIEWERS = 50

Viewer = asyncio.Queue[bytes | None]


class Live:
    """Gathers while somebody looks; each viewer has a queue of server-sent events, None for the end."""

    def __init__(self, context: AdminContext, gauges: Gauges) -> None:
        self._context = context
        self._gauges = gauges
        self._viewers: set[Viewer] = set()
        self._gathering: asyncio.Task[None] | None = None
        self._follows = False

    @property
    def full(self) -> bool:
        return len(self._viewers) >= _MOST_VIEWERS

    def join(self) -> Viewer:
        viewer: Viewer = asyncio.Queue(_MOST_WAITING)
        self._viewers.add(viewer)
        viewer.put_nowait(_encoded("history", self._gauges.history))
        if not self._follows:
            self._follows = True
            self._context.link.follow(self._happened)
        if self._gathering is None or self._gathering.done():
            self._gathering = asyncio.create_task(self._gather())
        return viewer

    def leave(self, viewer: Viewer) -> None:
        self._viewers.discard(viewer)

    def close(self) -> None:
        """Nobody is told anything any more."""
        for viewer in self._viewers:
            while viewer.full():
                viewer.get_nowait()
            viewer.put_nowait(None)
        self._viewers.clear()

    def _happened(self, event: Event) -> None:
        self._tell(_encoded("event", event))

    def _tell(self, message: bytes) -> None:
        for viewer in list(self._viewers):
            if viewer.full():
                self._viewers.discard(viewer)
                viewer.get_nowait()
                viewer.put_nowait(None)
            else:
                viewer.put_nowait(message)

    async def _gather(self) -> None:
        first = True
        while self._viewers:
            try:
                state = await self._state()
                if first:
                    state["events"] = (await self._context.link.look("events"))[-100:]
                    first = False
                self._tell(_encoded("state", state))
            except ControlError as error:
                self._tell(_encoded("trouble", {"message": error.message}))
            await asyncio.sleep(_EVERY)

    async def _state(self) -> dict[str, Any]:
        most = self._context.settings.management.metric_projects
        seen = await self._gauges.seen(most)
        counted = await asyncio.to_thread(self._gauges.counted, most)
        return {
            "status": seen.status,
            "processes": seen.processes,
            "projects": seen.projects,
            "queue": seen.queue,
            "saturation": seen.saturation,
            "latency": latency(counted),
            "read_only": not self._context.settings.management.token,
        }


def latency(counted: list[Metric]) -> dict[str, Any]:
    """Sums over all services: how many requests took how long at most, and the seconds of each phase."""
    by_name = {metric.name: metric for metric in counted}
    buckets = dict.fromkeys([*map(float, metrics.BUCKETS), float("inf")], 0.0)
    whole = by_name.get(metrics.REQUEST_SECONDS.name)
    for sample in whole.samples if whole else ():
        if sample.name.endswith("_bucket") and sample.labels["service"] != "none":
            buckets[float(sample.labels["le"])] += sample.value
    phases: dict[str, float] = {}
    declared = (metrics.QUEUE_SECONDS, metrics.LOAD_SECONDS, metrics.RENDER_SECONDS)
    for phase, metric in zip(metrics.PHASES, declared, strict=True):
        samples = by_name[metric.name].samples if metric.name in by_name else ()
        phases[phase] = sum(sample.value for sample in samples if sample.name.endswith("_sum"))
    return {"bounds": list(metrics.BUCKETS), "counts": list(buckets.values()), "phases": phases}


def _encoded(event: str, data: Mapping[str, Any] | list[Any]) -> bytes:
    """A server-sent event (HTML, 9.2.6); JSON has no line end in it."""
    return b"event: " + event.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"
