# SPDX-License-Identifier: GPL-2.0-or-later
"""Counting finished requests for the metrics (`qgsd.metrics`)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qgsd import metrics
from qgsd.messages import Timing
from qgsd.proxy.http.context import HttpContext
from qgsd.proxy.http.handlers import ServiceHandler
from qgsd.proxy.http.labels import LabelBook, Labels

logger = logging.getLogger("qgsd.http")

Count = Callable[[ServiceHandler], None]


class Tally:
    """Counts each finished request; a few microseconds, for a request of milliseconds."""

    def __init__(self, folder: Path, context: HttpContext) -> None:
        """OSError when there is no room in `folder`."""
        metrics.prepare_files(folder)
        from prometheus_client import Counter, Histogram

        def counter(declared: metrics.Declared) -> Any:
            return Counter(declared.name, declared.help, declared.labels, registry=None)

        def histogram(declared: metrics.Declared) -> Any:
            name, labels = declared.name, declared.labels
            return Histogram(name, declared.help, labels, buckets=metrics.BUCKETS, registry=None)

        self._context = context
        self._book = LabelBook()
        self._requests = counter(metrics.REQUESTS)
        self._seconds = histogram(metrics.REQUEST_SECONDS)
        phases = (metrics.QUEUE_SECONDS, metrics.LOAD_SECONDS, metrics.RENDER_SECONDS)
        self._phases = [histogram(declared) for declared in phases]
        self._project_seconds = counter(metrics.PROJECT_SECONDS)
        # Looking a child of a metric up by its labels takes longer than counting.
        self._counted: dict[Labels, tuple[Any, Any]] = {}
        self._timed: dict[Labels, list[tuple[Any, Any]]] = {}

    def count(self, handler: ServiceHandler) -> None:
        details = handler.details
        timing: Timing | None = details.get("timing")
        status = handler.get_status()
        labels = self._book.of(
            details.get("project", ""),
            details.get("service", ""),
            details.get("operation", ""),
            status,
            answered=timing is not None and status < 400,
            most=self._context.settings.management.metric_projects,
        )
        requests, seconds = self._counted.get(labels) or self._begin_count(labels)
        requests.inc()
        seconds.observe(time.monotonic() - handler.started)
        if timing is not None:
            phases = self._timed.get(labels) or self._begin_times(labels)
            for (histogram, project), spent in zip(
                phases, (timing.queue, timing.load, timing.render), strict=True
            ):
                histogram.observe(spent)
                project.inc(spent)

    def count_hit(self, asked: tuple[str, str, str], status: int, seconds: float) -> None:
        """Count an answer that no handler has seen; `asked`: project, service, operation."""
        most = self._context.settings.management.metric_projects
        labels = self._book.of(*asked, status, answered=True, most=most)
        requests, taken = self._counted.get(labels) or self._begin_count(labels)
        requests.inc()
        taken.observe(seconds)

    def _begin_count(self, labels: Labels) -> tuple[Any, Any]:
        seconds = self._seconds.labels(labels.service, labels.request)
        self._counted[labels] = found = (self._requests.labels(*labels), seconds)
        return found

    def _begin_times(self, labels: Labels) -> list[tuple[Any, Any]]:
        self._timed[labels] = found = [
            (
                histogram.labels(labels.service, labels.request),
                self._project_seconds.labels(labels.project, phase),
            )
            for histogram, phase in zip(self._phases, metrics.PHASES, strict=True)
        ]
        return found


def open_tally(folder: str, context: HttpContext) -> Count | None:
    """To be called for each finished request; None where nobody reads it or nothing can be written."""
    if not folder:
        return None
    try:
        tally = Tally(Path(folder), context)
        context.count_hit = tally.count_hit
        return tally.count
    except OSError as error:
        logger.warning("requests are not counted for the metrics: %s", error)
        return None
