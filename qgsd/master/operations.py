# SPDX-License-Identifier: GPL-2.0-or-later
"""What the control commands do, see `control.operations`: set a target, then watch it come true."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from qgsd import log
from qgsd.cluster_key import ClusterKey, keys_of
from qgsd.config import ConfigError, Loaded, Settings, changes, declarations, load, named, with_value
from qgsd.control.operations import Progress, Refused
from qgsd.control.records import ReloadRecord
from qgsd.errors import StartError
from qgsd.master import awaited, management
from qgsd.master.children import ChildRecord
from qgsd.master.project_operations import ProjectOperations

_MAX_WORKERS = 1000


class MasterOperations(ProjectOperations):
    """All verbs of this instance."""

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
                record.retiring, record.retire_cause = "its slot is no reserve any more", "scaled"
        supervisor.events.add("scaled", f"from {before} to {target} workers", {"from": before, "to": target})
        supervisor.wake()
        if wait:
            await self._wait(self._scaled, progress, self._scaling)
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

    def _scaling(self) -> dict[str, Any]:
        return awaited.scaling(self._usual_workers(), self.supervisor.workers)

    async def reload(self, project: str | None, *, wait: bool, progress: Progress) -> list[ReloadRecord]:
        self._refuse_while_stopping()
        if project is None:
            self._reload_config()
            if not self.supervisor.instance.has_http:
                # Projects are the proxy's to reload.
                return []
        return await self.reload_projects(project, wait=wait, progress=progress)

    def _reload_config(self) -> None:
        supervisor = self.supervisor
        old = supervisor.instance.loaded
        try:
            loaded = load(old.path, os.environ, supervisor.instance.overrides)
            keys = _keys_and_token(loaded.settings)
            supervisor.instance.tls = supervisor.instance.read_tls(loaded.settings)
        except (ConfigError, StartError) as error:
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
        self._take_over(loaded, keys)

    def _take_over(self, loaded: Loaded, keys: list[ClusterKey]) -> None:
        supervisor = self.supervisor
        supervisor.instance.loaded = loaded
        supervisor.use_keys(keys)
        log.set_level(loaded.settings.logging.level)
        supervisor.configure(loaded.settings)
        self.preload()

    async def restart(self, *, wait: bool, progress: Progress) -> dict[str, Any]:
        self._refuse_while_stopping()
        supervisor = self.supervisor
        supervisor.generation += 1
        generation = supervisor.generation
        supervisor.events.add("restarting", f"all children are replaced by generation {generation}")
        supervisor.wake()
        if wait:
            await self._wait(lambda: self._restarted(generation), progress, self._restarting)
            supervisor.events.add("restarted", f"all children are of generation {generation}")
        return {"generation": supervisor.generation}

    def _restarted(self, generation: int) -> bool:
        supervisor = self.supervisor
        if supervisor.generation != generation:
            return True
        children = self._lasting()
        # How many are in reserve is open, but none of them may be of before.
        outdated = any(record.reserve and record.generation != generation for record in supervisor.children)
        complete = len(children) == self._wanted() and not outdated
        return complete and all(
            child.generation == generation and child.phase == "ready" for child in children
        )

    def _restarting(self) -> dict[str, Any]:
        return awaited.restarting(self._lasting(), self.supervisor.generation, self._wanted())

    def _lasting(self) -> list[ChildRecord]:
        """The children that a restart waits for."""
        # A leaving admin child may be the one that was asked for this restart: it waits for us.
        return [
            record
            for record in self.supervisor.children
            if not record.reserve and not (record.role == "admin" and record.phase == "draining")
        ]

    def _wanted(self) -> int:
        """How many of them there are when it is done."""
        wanted = dict(self.supervisor.targets().children)
        if "worker" in wanted:
            wanted["worker"] = self.supervisor.workers
        return sum(wanted.values())

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

    async def set_option(self, name: str, value: str) -> dict[str, Any]:
        supervisor = self.supervisor
        try:
            declared = named(name)
            # Of the moment: `log-level` has changed them perhaps.
            now = replace(supervisor.instance.loaded, settings=supervisor.settings)
            loaded = with_value(now, name, value, "qgsdctl set")
            keys = _keys_and_token(loaded.settings)
            supervisor.instance.tls = supervisor.instance.read_tls(loaded.settings)
        except (ConfigError, StartError) as error:
            raise Refused("bad_option", str(error)) from error
        if not declared.live:
            live = ", ".join(option.name for option in declarations() if option.live)
            raise Refused(
                "not_live",
                f"{declared.name} changes only when qgsd is stopped and started; set takes: {live}",
            )
        shown = declared.show(declared.of(loaded.settings))
        supervisor.events.add(
            "config.changed", f"{declared.name} is {shown} until the next reload or restart"
        )
        self._take_over(loaded, keys)
        return {"option": declared.name, "value": shown}

    async def log_level(self, level: str) -> dict[str, Any]:
        supervisor = self.supervisor
        settings = supervisor.settings
        changed = replace(settings, logging=replace(settings.logging, level=level))
        log.set_level(level)
        supervisor.configure(changed)
        return {"level": level}


def _keys_and_token(settings: Settings) -> list[ClusterKey]:
    """What stands in files of its own. Raises `StartError` when that is no good."""
    management.check(settings.management)
    return keys_of(settings.zmq)
