# SPDX-License-Identifier: GPL-2.0-or-later
"""The verbs of a proxy that reach the machines of its fleet; of an instance without one they are its own."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import msgspec

from qgsd.control.operations import Progress, Refused
from qgsd.control.records import MachineRecord, ProcessRecord, ReloadRecord, Status, WorkerCounts
from qgsd.master.fleet import Machine, Unknown
from qgsd.master.fleet_orders import FleetOrder
from qgsd.master.operations import MasterOperations

# Seconds that `ps` waits for the machines.
_LOOK_SECONDS = 2.0


class FleetOperations(MasterOperations):
    """What concerns one machine is done there, by the same command; its refusals are passed on."""

    # Looking.

    def status(self) -> Status:
        now = time.monotonic()
        machines = [_record(machine, now) for machine in self.supervisor.machines.fleet]
        return msgspec.structs.replace(super().status(), machines=machines)

    def worker_counts(self) -> WorkerCounts:
        """Those of all machines."""
        counts = [super().worker_counts(), *(_counts(machine) for machine in self.supervisor.machines.fleet)]
        return WorkerCounts(
            target=sum(one.target for one in counts),
            ready=sum(one.ready for one in counts),
            busy=sum(one.busy for one in counts),
            starting=sum(one.starting for one in counts),
        )

    async def processes(self, *, machines: bool = True) -> list[ProcessRecord]:
        """A machine that does not answer in time is left out."""
        own = await super().processes()
        fleet = self.supervisor.machines.fleet
        if not machines or not len(fleet):
            return own
        orders = await self._ask(fleet, "ps", _LOOK_SECONDS)
        return own + [row for order in orders for row in _rows(order)]

    async def _ask(self, members: Iterable[Machine], command: str, seconds: float) -> list[FleetOrder]:
        """Have them all do it at the same time; those that answer within so many seconds."""
        machines = self.supervisor.machines
        orders = [machines.begin(member, command, {}) for member in members]
        until = time.monotonic() + seconds

        def settled() -> bool:
            waiting = [order for order in orders if not self._has_settled(order)]
            return not waiting or time.monotonic() > until

        try:
            await self.supervisor.until(settled)
        finally:
            for order in orders:
                machines.end(order)
        return [order for order in orders if order.reply is not None]

    def _has_settled(self, order: FleetOrder) -> bool:
        try:
            return self.supervisor.machines.advance(order)
        except Refused:
            return True

    # Changing.

    async def scale(
        self, workers: int, *, relative: bool, wait: bool, progress: Progress, machine: str | None = None
    ) -> dict[str, Any]:
        if machine is None:
            return await super().scale(workers, relative=relative, wait=wait, progress=progress)
        args = {"workers": workers, "relative": relative, "wait": wait}
        result: dict[str, Any] = await self._have_done(self._machine(machine), "scale", args, progress)
        return result

    async def restart(
        self, *, wait: bool, progress: Progress, machine: str | None = None, here: bool = False
    ) -> dict[str, Any]:
        """The children of this machine, then those of the others, one machine after the other."""
        if machine is not None:
            result: dict[str, Any] = await self._have_done(
                self._machine(machine), "restart", {"wait": wait}, progress
            )
            return result
        result = await super().restart(wait=wait, progress=progress)
        for member in [] if here else list(self.supervisor.machines.fleet):
            if member.here.id in self.supervisor.machines.fleet:
                progress({"message": f"{member.here.name} restarts its workers"})
                await self._have_done(member, "restart", {"wait": wait}, progress)
        return result

    async def reload(self, project: str | None, *, wait: bool, progress: Progress) -> list[ReloadRecord]:
        """Projects are changed on all machines at once, by the dispatcher; configurations by each machine."""
        failures = [] if project else await self._reload_machines(progress)
        records = await super().reload(project, wait=wait, progress=progress)
        if failures:
            raise Refused("bad_config", "; ".join(failures))
        return records

    async def _reload_machines(self, progress: Progress) -> list[str]:
        failures = []
        for member in list(self.supervisor.machines.fleet):
            try:
                await self._have_done(member, "reload", {}, progress)
            except Refused as refused:
                failures.append(refused.message)
        return failures

    async def kill(self, target: int | str, *, wait: bool) -> dict[str, Any]:
        if isinstance(target, int):
            return await super().kill(target, wait=wait)
        name, _, there = target.rpartition("/")
        if not name or not there.isdecimal():
            raise Refused("no_such_child", f"'{target}' is no MACHINE/SLOT or MACHINE/PID; see `ps`")
        args = {"target": int(there), "wait": wait}
        result: dict[str, Any] = await self._have_done(self._machine(name), "kill", args, _tell_nobody)
        return result | {"machine": name}

    async def drain(self, machine: str, *, wait: bool, progress: Progress) -> dict[str, Any]:
        """Have a machine finish its requests and go."""
        member = self._machine(machine)
        await self._have_done(member, "stop", {}, progress)
        if wait:
            gone = f"{machine} has gone"
            await self._wait(
                lambda: member.here.id not in self.supervisor.machines.fleet, progress, lambda: _await(gone)
            )
        return {"machine": machine, "state": "gone" if wait else "draining"}

    def _machine(self, name: str) -> Machine:
        self._refuse_while_stopping()
        if self.supervisor.instance.role != "proxy":
            raise Refused("no_fleet_here", "machines belong to a proxy; this is none")
        try:
            return self.supervisor.machines.fleet.named(name)
        except Unknown as unknown:
            raise Refused("no_such_machine", str(unknown)) from unknown

    async def _have_done(
        self, machine: Machine, command: str, args: dict[str, Any], progress: Progress
    ) -> Any:
        """Have a machine do it. Raises `Refused` with its reason, or when it has gone."""
        machines = self.supervisor.machines
        order = machines.begin(machine, command, args)
        try:
            done = f"{order.name} has done it ({command})"
            await self._wait(lambda: machines.advance(order), progress, lambda: _await(done))
        finally:
            machines.end(order)
        return order.result()


def _counts(machine: Machine) -> WorkerCounts:
    here = machine.here
    return WorkerCounts(here.target, here.ready, here.busy, here.starting)


def _record(machine: Machine, now: float) -> MachineRecord:
    here = machine.here
    return MachineRecord(
        here.name,
        here.state,
        here.version,
        here.qgis_version,
        here.pid,
        now - machine.since,
        _counts(machine),
    )


def _rows(order: FleetOrder) -> list[ProcessRecord]:
    """Of a machine of another version perhaps: what is not understood is left out."""
    try:
        return msgspec.convert(order.result(), list[ProcessRecord])
    except (Refused, msgspec.ValidationError):
        return []


def _await(what: str) -> dict[str, Any]:
    return {"message": f"waiting until {what}"}


def _tell_nobody(progress: dict[str, Any]) -> None:
    """A kill is done at once."""
