# SPDX-License-Identifier: GPL-2.0-or-later
"""`/metrics`: what http children have counted, and what the master tells, in the form Prometheus reads."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from qgsd import metrics
from qgsd.admin.figures import FIGURES, OF_THE_QUEUE, OTHER, Names, Seen
from qgsd.admin.handlers import AdminContext, AdminHandler
from qgsd.admin.link import MasterLink
from qgsd.admin.saturation import Look, Saturation
from qgsd.control import CommandFailed, ControlError

logger = logging.getLogger("qgsd.admin")

_LOOK_EVERY = 1.0
_REMEMBERED = 300
# A master that has not answered for that long is as good as none.
_STALE_SECONDS = 15.0
_ORDER = {declared.name.removesuffix("_total"): declared for declared in metrics.WRITTEN}


class Gauges:
    """What the admin child itself keeps between two scrapes."""

    def __init__(self, link: MasterLink, folder: str) -> None:
        self._link = link
        self._folder = Path(folder) if folder else None
        self.saturation = Saturation()
        self.names = Names()
        # For charts: time since the epoch, requests, errors, waiting, busy, ready, saturation; once a second.
        self._history: deque[list[float]] = deque(maxlen=_REMEMBERED)
        self._heard_at = time.monotonic()
        self._served_at = float("-inf")

    @property
    def hears(self) -> bool:
        """Whether the master has answered lately."""
        return time.monotonic() - self._heard_at < _STALE_SECONDS

    @property
    def serves(self) -> bool:
        """Whether the instance was running at the last look, with a worker ready where it shall have some."""
        return time.monotonic() - self._served_at < _STALE_SECONDS

    @property
    def history(self) -> list[list[float]]:
        return list(self._history)

    async def watch(self) -> None:
        """Look at the workers' time once a second, for ever."""
        while True:
            try:
                self._note(await self._link.look("status"))
            except ControlError as error:
                logger.debug("no look at the workers: %s", error)
            await asyncio.sleep(_LOOK_EVERY)

    def _note(self, status: Mapping[str, Any]) -> None:
        spent, queue = status["worker_time"], status["queue"]
        look = Look(time.monotonic(), spent["total"], spent["busy"], spent["joined"], queue["waiting"])
        self.saturation.add(look)
        workers, counters = status["workers"], status["counters"]
        serves = status["state"] == "running" and (workers["ready"] > 0 or workers["target"] == 0)
        self._heard_at = look.at
        self._served_at = look.at if serves else float("-inf")
        moment = (time.time(), counters["requests"], counters["errors"], queue["waiting"])
        self._history.append([*moment, workers["busy"], workers["ready"], self.saturation.value])

    async def seen(self, most: int) -> Seen:
        """The answers for one scrape. Raises `ControlError`."""
        link = self._link
        status, processes = await asyncio.gather(link.look("status"), link.look("ps", machines=False))
        projects, queue = await asyncio.gather(self._if_there("projects"), self._if_there("queue"))
        if projects is None or queue is None:
            return Seen(status, processes, has_queue=False)
        named = self.names.choose((row["project"] for row in projects), most)
        used, value = self.saturation.used, self.saturation.value
        return Seen(status, processes, projects, queue, value, used, named)

    async def _if_there(self, command: str) -> list[Mapping[str, Any]] | None:
        """None on a machine whose queue is elsewhere, and while the instance stops."""
        try:
            found: list[Mapping[str, Any]] = await self._link.look(command)
        except CommandFailed:
            return None
        return found

    def counted(self, most: int) -> list[Metric]:
        """What http children have counted; projects without a name of their own are put together."""
        if self._folder is None:
            return []
        with metrics.settled(self._folder) as files:
            merged = list(MultiProcessCollector.merge(files))  # type: ignore[no-untyped-call]
        found = (sample.labels.get("project", "") for metric in merged for sample in metric.samples)
        named = self.names.choose((name for name in found if name not in ("none", OTHER)), most)
        return [_put_together(metric, named) for metric in merged]


def _put_together(metric: Metric, named: frozenset[str]) -> Metric:
    """Each http child names the first projects that it sees; together they may name more than are wanted."""
    result = Metric(metric.name, _ORDER[metric.name].help, metric.type)
    sums: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for sample in metric.samples:
        labels = dict(sample.labels)
        if labels.get("project", "none") not in (*named, "none"):
            labels["project"] = OTHER
        key = (sample.name, tuple(labels.items()))
        sums[key] = sums.get(key, 0.0) + sample.value
    for (name, labels_of), value in sums.items():
        result.add_sample(name, dict(labels_of), value)
    return result


def told(seen: Seen) -> Iterator[Metric]:
    """The metrics that are made of the master's answers."""
    for declared, samples in FIGURES:
        if not seen.has_queue and declared.name.startswith(OF_THE_QUEUE):
            continue
        metric = Metric(declared.name.removesuffix("_total"), declared.help, declared.kind)
        name = declared.name
        for values, number in samples(seen):
            metric.add_sample(name, dict(zip(declared.labels, values, strict=True)), number)
        yield metric


class _Ready:
    """Metrics as a collector of the library."""

    def __init__(self, found: Iterable[Metric]) -> None:
        self._found = list(found)

    def collect(self) -> Iterable[Metric]:
        return self._found


class MetricsHandler(AdminHandler):
    """`/metrics`, as text or OpenMetrics, as the scraper accepts it."""

    def initialize(self, context: AdminContext, gauges: Gauges) -> None:  # type: ignore[override]
        super().initialize(context)
        self.gauges = gauges

    async def get(self) -> None:
        most = self.context.settings.management.metric_projects
        seen = await self.gauges.seen(most)
        # Adding up takes some milliseconds a child.
        counted = await asyncio.to_thread(self.gauges.counted, most)
        registry = CollectorRegistry()
        registry.register(_Ready(chain(told(seen), counted)))
        encode, content_type = exposition.choose_encoder(self.request.headers.get("Accept", ""))
        self.set_header("Content-Type", content_type)
        self.finish(encode(registry))

    head = get
