# SPDX-License-Identifier: GPL-2.0-or-later
"""What the control commands do, see `control.operations`: set a target, then watch it come true."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import psutil

from qgsd import __version__, log, messages
from qgsd.channel import ChannelClosed
from qgsd.config import ConfigError, changes, in_force, load
from qgsd.control.operations import Progress, Refused
from qgsd.control.records import (
    ChildState,
    Counters,
    EventRecord,
    InstanceState,
    ProcessRecord,
    QuarantineRecord,
    QueueStatus,
    ReloadRecord,
    Status,
    WorkerCounts,
)
from qgsd.master.children import ChildRecord
from qgsd.master.supervisor import Supervisor

logger = logging.getLogger("qgsd.master")

_MAX_WORKERS = 1000
_RANK = {"unchanged": 0, "flipped": 1, "kept-old": 2}


class MasterOperations:
    """The verbs of this instance."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self._tickets = itertools.count(1)
        self._processes: dict[int, psutil.Process] = {}

    # Looking.

    def status(self) -> Status:
        supervisor = self.supervisor
        children = supervisor.children
        instance = supervisor.instance
        listen = [listener.address for listener in (*instance.service, *instance.behind[1:])]
        return Status(
            state=self._state(),
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
            ),
            generation=supervisor.generation,
            instance=instance.name,
        )

    def _state(self) -> InstanceState:
        if self.supervisor.stopping != "no":
            return "draining"
        return "running" if self.supervisor.serving else "starting"

    def waiting(self) -> int:
        """Requests in the queue of this instance."""
        return sum(record.row.waiting for record in self.supervisor.children.of("dispatcher"))

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
        order = {"master": 0, "dispatcher": 1, "http": 2, "admin": 3, "template": 4, "worker": 5}
        return sorted(
            [*filled, *self._resting()], key=lambda row: (order[row.role], row.slot or 0, row.uptime)
        )

    def _master_row(self) -> ProcessRecord:
        supervisor = self.supervisor
        uptime = time.monotonic() - supervisor.started_at
        state: ChildState = "draining" if supervisor.stopping != "no" else "idle"
        return ProcessRecord(
            "master", None, os.getpid(), state, uptime, 0, 0, 0, 0.0, None, supervisor.generation
        )

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
        )

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
            QuarantineRecord(e.fingerprint, e.project, e.request, e.reason, e.until - now)
            for e in self.supervisor.quarantine
            if e.until > now
        ]

    def clear_quarantine(self) -> None:
        self.supervisor.quarantine = []
        for record in self.supervisor.children.of("dispatcher"):
            record.channel.send(messages.SetQuarantine([]))

    def recent_events(self) -> list[EventRecord]:
        return list(self.supervisor.events.recent)

    def follow_events(self) -> asyncio.Queue[EventRecord]:
        return self.supervisor.events.follow()

    def unfollow_events(self, queue: asyncio.Queue[EventRecord]) -> None:
        self.supervisor.events.unfollow(queue)

    # Changing.

    async def scale(self, workers: int, *, relative: bool, wait: bool, progress: Progress) -> dict[str, Any]:
        supervisor = self.supervisor
        self._refuse_while_stopping()
        if not supervisor.instance.has_workers:
            raise Refused("no_workers_here", "this is a proxy; scale the workers on their own machines")
        before = supervisor.workers
        target = before + workers if relative else workers
        if not 0 <= target <= _MAX_WORKERS:
            raise Refused(
                "bad_number", f"{target} workers are not possible; the number must be 0 to {_MAX_WORKERS}"
            )
        supervisor.workers = target
        for record in supervisor.children.of("worker"):
            if record.reserve and record.slot < target:
                record.retiring = "its slot is no reserve any more"
        supervisor.events.add("scaled", f"from {before} to {target} workers", {"from": before, "to": target})
        supervisor.wake()
        if wait:
            await self._wait(self._scaled, progress)
        counts = self.worker_counts()
        return {
            "target": counts.target,
            "ready": counts.ready,
            "busy": counts.busy,
            "starting": counts.starting,
        }

    def _scaled(self) -> bool:
        workers = self._usual_workers()
        target = self.supervisor.workers
        ready = {record.slot for record in workers if record.phase == "ready"}
        return len(ready) == len(workers) == target

    async def reload(self, project: str | None, *, wait: bool, progress: Progress) -> list[ReloadRecord]:
        self._refuse_while_stopping()
        if project is None:
            self._reload_config()
        return await self._reload_projects(project, wait=wait, progress=progress)

    def _reload_config(self) -> None:
        supervisor = self.supervisor
        old = supervisor.instance.loaded
        try:
            loaded = load(old.path, os.environ, supervisor.instance.overrides)
        except ConfigError as error:
            supervisor.events.add(
                "config.kept-old", f"the configuration is wrong, the old one stays: {error}"
            )
            raise Refused("bad_config", f"the configuration is wrong, the old one stays: {error}") from error
        live, fixed = changes(old.settings, loaded.settings)
        if fixed:
            names = ", ".join(f"[{option.section}] {option.key}" for option in fixed)
            supervisor.events.add(
                "config.needs-restart", f"changed, but only a stop and start takes it over: {names}"
            )
        if live:
            names = ", ".join(f"[{option.section}] {option.key}" for option in live)
            supervisor.events.add("config.changed", f"taken over: {names}")
        supervisor.instance.loaded = loaded
        log.set_level(loaded.settings.logging.level)
        supervisor.configure(loaded.settings)

    async def _reload_projects(
        self, project: str | None, *, wait: bool, progress: Progress
    ) -> list[ReloadRecord]:
        ticket = next(self._tickets)
        answers: dict[int, messages.Reloaded | None] = {}
        self.supervisor.reloads[ticket] = answers
        for record in self.supervisor.children.ready("worker"):
            try:
                record.channel.send(messages.Reload(ticket, project))
                answers[record.key] = None
            except ChannelClosed:
                logger.debug("%s has gone already", record.name)
        if wait:
            await self._wait(lambda: self._reloaded(answers), progress)
        del self.supervisor.reloads[ticket]
        records = _merged([answer for answer in answers.values() if answer is not None])
        for done in records:
            self._tell_reload(done)
        return records

    def _reloaded(self, answers: dict[int, messages.Reloaded | None]) -> bool:
        """All have answered, or are no more."""
        get = self.supervisor.children.get
        return all(answer is not None or get(key) is None for key, answer in answers.items())

    def _tell_reload(self, done: ReloadRecord) -> None:
        details = {"project": done.project}
        if done.status == "flipped":
            self.supervisor.events.add("project.flipped", f"{done.project} has a new version", details)
        elif done.status == "kept-old":
            reason = f"{done.project} does not load any more, the old version stays: {done.error}"
            self.supervisor.events.add("project.broken", reason, details)

    async def restart(self, *, wait: bool, progress: Progress) -> dict[str, Any]:
        self._refuse_while_stopping()
        supervisor = self.supervisor
        supervisor.generation += 1
        generation = supervisor.generation
        supervisor.events.add("restarting", f"all children are replaced by generation {generation}")
        supervisor.wake()
        if wait:
            await self._wait(lambda: self._restarted(generation), progress)
            supervisor.events.add("restarted", f"all children are of generation {generation}")
        return {"generation": supervisor.generation}

    def _restarted(self, generation: int) -> bool:
        supervisor = self.supervisor
        if supervisor.generation != generation:
            return True
        children = [record for record in supervisor.children if not record.reserve]
        wanted = dict(supervisor.targets().children)
        if "worker" in wanted:
            wanted["worker"] = supervisor.workers
        complete = len(children) == sum(wanted.values())
        return complete and all(
            child.generation == generation and child.phase == "ready" for child in children
        )

    async def stop(self, *, now: bool) -> dict[str, Any]:
        self.begin_stop(now=now)
        return {"state": "draining", "pid": os.getpid()}

    def begin_stop(self, *, now: bool) -> None:
        """Stop: gracefully, or at once; a second stop during the first counts if it is stronger."""
        supervisor = self.supervisor
        if now:
            supervisor.stopping = "quick"
        elif supervisor.stopping == "no":
            supervisor.stopping = "graceful"
        supervisor.instance.stop_listening()
        supervisor.wake()

    async def kill(self, target: int, *, wait: bool) -> dict[str, Any]:
        supervisor = self.supervisor
        record = self._find(target)
        supervisor.kill(record.key, "command", "killed by command")
        if wait:
            await supervisor.until(lambda: self._replaced(record))
        return {"killed": record.pid, "role": record.role, "slot": record.slot}

    def _find(self, target: int) -> ChildRecord:
        children = self.supervisor.children
        found = [record for record in children if record.pid == target]
        found = found or [record for record in children.of("worker") if record.slot == target and record.pid]
        if not found:
            raise Refused(
                "no_such_child", f"{target} is neither the slot of a worker nor the pid of a child; see `ps`"
            )
        return found[-1]

    def _replaced(self, gone: ChildRecord) -> bool:
        supervisor = self.supervisor
        if supervisor.stopping != "no":
            return True
        if supervisor.children.get(gone.key) is gone:
            return False
        wanted = gone.slot < supervisor.targets().children.get(gone.role, 0)
        return not wanted or any(record.slot == gone.slot for record in supervisor.children.ready(gone.role))

    async def log_level(self, level: str) -> dict[str, Any]:
        supervisor = self.supervisor
        settings = supervisor.settings
        changed = replace(settings, logging=replace(settings.logging, level=level))
        log.set_level(level)
        supervisor.configure(changed)
        return {"level": level}

    # Waiting.

    def _refuse_while_stopping(self) -> None:
        if self.supervisor.stopping != "no":
            raise Refused("draining", "the instance is being stopped")

    async def _wait(self, reached: Callable[[], bool], progress: Progress) -> None:
        """Until the effect is there, telling how far it is; refuses when a stop comes in between."""
        told: list[WorkerCounts] = []

        def arrived() -> bool:
            self._refuse_while_stopping()
            counts = self.worker_counts()
            if [counts] != told:
                told[:] = [counts]
                message = f"{counts.ready} of {counts.target} workers ready"
                progress(
                    {"message": message, "done": min(counts.ready, counts.target), "total": counts.target}
                )
            return reached()

        await self.supervisor.until(arrived)


def _merged(answers: list[messages.Reloaded]) -> list[ReloadRecord]:
    """One record a project over all workers: the most telling of their answers."""
    merged: dict[str, messages.ProjectReload] = {}
    for answer in answers:
        for done in answer.projects:
            known = merged.get(done.project)
            if known is None or _RANK[done.status] > _RANK[known.status]:
                merged[done.project] = done
    return [ReloadRecord(done.project, done.status, done.error) for _, done in sorted(merged.items())]
