# SPDX-License-Identifier: GPL-2.0-or-later
"""What the control commands tell: the state of the instance and of its processes."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import msgspec
import psutil

from qgsd import __version__, messages
from qgsd.config import in_force
from qgsd.control.records import (
    ChildState,
    Counters,
    EventRecord,
    InstanceState,
    PluginRecord,
    ProcessRecord,
    QuarantineRecord,
    QueueStatus,
    Status,
    WorkerCounts,
    WorkerTime,
)
from qgsd.master.children import ChildRecord
from qgsd.master.supervisor import Supervisor


class Looking:
    """The verbs that change nothing."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self._processes: dict[int, psutil.Process] = {}

    def status(self) -> Status:
        supervisor = self.supervisor
        children = supervisor.children
        instance = supervisor.instance
        listen = [listener.address for listener in (*instance.service, *instance.behind[1:])]
        return Status(
            state=self.state(),
            version=__version__,
            qgis_version=supervisor.qgis_version,
            pid=os.getpid(),
            uptime=time.monotonic() - supervisor.started_at,
            listen=listen,
            workers=self.worker_counts(),
            queue=QueueStatus(self.waiting(), supervisor.settings.zmq.maxqueue),
            counters=Counters(
                requests=children.total("requests"),
                errors=children.total("errors"),
                timeouts=children.total("timeouts"),
                retries=children.total("retries"),
                crashes=supervisor.exits.crashes,
                restarts=supervisor.restarts,
                coalesced=children.total("coalesced"),
                cache_hits=children.total("cache_hits"),
                tiles_cut=children.total("tiles_cut"),
                project_hits=children.total("project_hits"),
                project_loads=children.total("project_loads"),
                project_load_seconds=children.total("project_load_ms") / 1000,
                project_evictions=children.total("project_evictions"),
            ),
            generation=supervisor.generation,
            instance=instance.name,
            oldest=self._oldest(),
            worker_time=WorkerTime(
                total=children.total("worker_ms") / 1000,
                busy=children.total("busy_ms") / 1000,
                joined=sum(record.row.workers for record in children.ready("dispatcher")),
            ),
            ends=supervisor.exits.counts(),
        )

    def state(self) -> InstanceState:
        if self.supervisor.stopping != "no":
            return "draining"
        return "running" if self.supervisor.serving else "starting"

    def waiting(self) -> int:
        """Requests in the queue of this instance."""
        return sum(record.row.waiting for record in self.supervisor.children.of("dispatcher"))

    def _oldest(self) -> float:
        """Seconds that the request in the queue has waited which has waited longest."""
        since = [
            record.row.oldest for record in self.supervisor.children.of("dispatcher") if record.row.oldest
        ]
        return max(0.0, time.monotonic() - min(since)) if since else 0.0

    def plugins(self) -> list[PluginRecord]:
        return [
            PluginRecord(
                plugin.name, plugin.version, "broken" if plugin.error else "loaded", plugin.error or None
            )
            for plugin in self.supervisor.plugins
        ]

    def worker_counts(self) -> WorkerCounts:
        workers = self._usual_workers()
        states = [record.state for record in workers]
        target = self.supervisor.workers if self.supervisor.instance.has_workers else 0
        ready = sum(record.phase == "ready" for record in workers)
        return WorkerCounts(target, ready, states.count("busy"), states.count("starting"))

    def _usual_workers(self) -> list[ChildRecord]:
        """The workers that were asked for, without the reserve for nested requests."""
        return [record for record in self.supervisor.children.of("worker") if not record.reserve]

    async def processes(self) -> list[ProcessRecord]:
        """Reading the memory of many processes takes a while, so a thread does it."""
        rows = [self._master_row(), *(self._row(record) for record in self.supervisor.children)]
        filled = await asyncio.to_thread(self._measure, rows)
        order = {"master": 0, "dispatcher": 1, "http": 2, "admin": 3, "gate": 4, "template": 5, "worker": 6}
        return sorted(
            [*filled, *self._resting()], key=lambda row: (order[row.role], row.slot or 0, row.uptime)
        )

    def _master_row(self) -> ProcessRecord:
        supervisor = self.supervisor
        uptime = time.monotonic() - supervisor.started_at
        state: ChildState = "draining" if supervisor.stopping != "no" else "idle"
        return ProcessRecord(
            "master", None, os.getpid(), state, uptime, 0, 0, 0, 0.0, None, supervisor.generation,
            supervisor.instance.machine,
        )  # fmt: skip

    def _row(self, record: ChildRecord) -> ProcessRecord:
        return ProcessRecord(
            role=record.role,
            slot=record.slot if record.role in ("worker", "http") else None,
            pid=record.pid,
            state=record.state,
            uptime=time.monotonic() - record.started_at,
            requests=record.row.requests,
            rss=0,
            pss=0,
            cpu=0.0,
            project=record.row.project or None,
            generation=record.generation,
            machine=self.supervisor.instance.machine,
            request_age=self._request_age(record),
        )

    @staticmethod
    def _request_age(record: ChildRecord) -> float:
        since = record.row.since
        return time.monotonic() - since if record.role == "worker" and since and record.row.deadline else 0.0

    def _resting(self) -> list[ProcessRecord]:
        now = time.monotonic()
        filled = {(record.role, record.slot) for record in self.supervisor.children}
        return [
            ProcessRecord(role, slot, None, "backoff", 0.0, 0, 0, 0, 0.0, None, self.supervisor.generation)
            for (role, slot), until in self.supervisor.children.resting.items()
            if until > now and (role, slot) not in filled
        ]

    def _measure(self, rows: list[ProcessRecord]) -> list[ProcessRecord]:
        seen = {row.pid for row in rows}
        self._processes = {pid: process for pid, process in self._processes.items() if pid in seen}
        return [self._measured(row) for row in rows]

    def _measured(self, row: ProcessRecord) -> ProcessRecord:
        if row.pid is None:
            return row
        try:
            process = self._processes.setdefault(row.pid, psutil.Process(row.pid))
            memory = process.memory_full_info()
            cpu = process.cpu_percent()
        except psutil.Error:
            return row
        return msgspec.structs.replace(row, rss=memory.rss, pss=getattr(memory, "pss", 0), cpu=cpu)

    def config(self) -> list[dict[str, Any]]:
        loaded = self.supervisor.instance.loaded
        settings = self.supervisor.settings
        return [
            {
                "section": option.section,
                "key": option.key,
                "value": option.show(option.of(settings)),
                "source": loaded.sources[option.id],
                "live": option.live,
            }
            for option in in_force(settings)
        ]

    def quarantine(self) -> list[QuarantineRecord]:
        now = time.monotonic()
        return [
            QuarantineRecord(
                e.fingerprint, e.project, e.request, e.reason, e.until - now, e.content_type,
                e.body.decode("utf-8", "backslashreplace"), e.length,
            )
            for e in self.supervisor.quarantine.values()
            if e.until > now
        ]  # fmt: skip

    def clear_quarantine(self) -> None:
        self.supervisor.quarantine.clear()
        for record in self.supervisor.children.of("dispatcher"):
            record.channel.send(messages.ClearQuarantine())

    def recent_events(self) -> list[EventRecord]:
        return list(self.supervisor.events.recent)

    def follow_events(self) -> asyncio.Queue[EventRecord]:
        return self.supervisor.events.follow()

    def unfollow_events(self, queue: asyncio.Queue[EventRecord]) -> None:
        self.supervisor.events.unfollow(queue)
