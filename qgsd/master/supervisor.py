# SPDX-License-Identifier: GPL-2.0-or-later
"""The master's loop: gather, decide, act.

It gathers what children report, how they end and which signals came; `policy` decides;
it starts, drains and kills. It waits for nothing and nobody: commands that wait for an
effect (`operations`) watch the same state turn by turn.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections import deque
from collections.abc import Callable

import msgspec

from qgsd import linux, messages
from qgsd.channel import ChannelClosed
from qgsd.config import Settings
from qgsd.errors import StartError
from qgsd.master import backoff, child_logs, policy
from qgsd.master.children import ChildRecord, Children
from qgsd.master.events import EventLog
from qgsd.master.instance import Instance
from qgsd.master.machine_link import MachineLink
from qgsd.master.spawn import Spawner
from qgsd.scoreboard import Scoreboard

logger = logging.getLogger("qgsd.master")

_TICK = 0.2
_START_TRIES = 4
_HANDLED = ("HUP", "TERM", "INT", "QUIT", "USR1", "USR2", "TTIN", "TTOU")


class Supervisor:
    """Keeps the children of one instance as the targets say."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.settings = instance.settings
        self.started_at = time.monotonic()
        self.events = EventLog()
        self.children = Children(Scoreboard.create())
        self.spawner = Spawner(self.children, instance.tmp, instance.user)
        self.link = MachineLink(instance.back) if instance.has_workers else None
        self.generation = 1
        self.workers = self.settings.server.workers
        self.stopping: policy.Stopping = "no"
        self.serving = False
        self.crashes = 0
        self.restarts = 0
        self.qgis_version = ""
        self.reloads: dict[int, dict[int, messages.Reloaded | None]] = {}
        self.signals: deque[str] = deque()
        self._wake = asyncio.Event()
        self._turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._begun: set[policy.Slot] = set()
        self._startup_failure: tuple[ChildRecord, str] | None = None

    # The loop.

    async def run(self, on_signal: Callable[[str], None], on_turn: Callable[[], None]) -> None:
        """Until stopped and empty. Raises `StartError` when a child cannot start at the beginning."""
        linux.become_subreaper()
        loop = asyncio.get_running_loop()
        for name in _HANDLED:
            loop.add_signal_handler(getattr(signal, f"SIG{name}"), self._signalled, name)
        while self.stopping == "no" or len(self.children):
            while self.signals:
                on_signal(self.signals.popleft())
            self._act(policy.decide(self.snapshot()))
            self._reap_strangers()
            self._note_serving()
            on_turn()
            self._end_turn()
            await self._sleep()
        self._reap_strangers()

    async def _sleep(self) -> None:
        try:
            async with asyncio.timeout(_TICK):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    def _end_turn(self) -> None:
        turn, self._turn = self._turn, asyncio.get_running_loop().create_future()
        turn.set_result(None)

    def wake(self) -> None:
        """Decide anew now: something has changed."""
        self._wake.set()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait turn by turn for a state of the children."""
        while not reached():
            await asyncio.shield(self._turn)

    def _signalled(self, name: str) -> None:
        self.signals.append(name)
        self.wake()

    # What the policy decides on.

    def targets(self) -> policy.Targets:
        children: dict[policy.Role, int] = {}
        if self.instance.has_http:
            children |= {"dispatcher": 1, "http": self.settings.server.jobs}
        if self.instance.has_workers:
            children |= {"template": 1, "worker": self.workers}
        return policy.Targets(self.generation, children)

    def snapshot(self) -> policy.Snapshot:
        bounds = self.settings.supervision
        return policy.Snapshot(
            now=time.monotonic(),
            stopping=self.stopping,
            targets=self.targets(),
            limits=policy.Limits(bounds.start_timeout, bounds.kill_grace, bounds.stop_timeout),
            children=tuple(record.view() for record in self.children),
            resting=self.children.resting,
        )

    # Carrying out.

    def _act(self, actions: list[policy.Action]) -> None:
        for action in actions:
            match action:
                case policy.Start(role, slot):
                    self._start(role, slot)
                case policy.Drain(key, reason, linger):
                    self._drain(key, reason, linger)
                case policy.Kill(key, cause, reason):
                    self.kill(key, cause, reason)

    def _start(self, role: policy.Role, slot: int) -> None:
        begin = self.instance.begin(msgspec.msgpack.encode(self.settings))
        try:
            if role == "worker":
                template = self.children.template_for_fork()
                if template is None:
                    return
                record = self.spawner.fork(template, slot, begin)
            else:
                listeners = self.instance.descriptors_for(role)
                record = self.spawner.execute(role, slot, self.generation, listeners, begin)
        except (ChannelClosed, OSError) as error:
            self._rest(role, slot, f"{role} cannot be started: {error}")
            return
        self.children.add(record)
        self.restarts += (role, slot) in self._begun
        self._begun.add((role, slot))
        self._watch(record)

    def _watch(self, record: ChildRecord) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(record.channel.fileno(), self._report, record)
        if record.pidfd is not None:
            loop.add_reader(record.pidfd, self._ended, record)
        following = child_logs.follow(record.log_pipe, f"qgsd.{record.name}", record.heard)
        record.log = asyncio.create_task(following, name="child log")

    def _drain(self, key: int, reason: str, linger: float) -> None:
        record = self.children.get(key)
        if record is None:
            return
        logger.debug("%s is to go: %s", record.name, reason)
        record.drained_at = time.monotonic()
        try:
            record.channel.send(messages.Drain(linger))
        except ChannelClosed:
            logger.debug("%s has gone already", record.name)

    def kill(self, key: int, cause: str, reason: str) -> None:
        record = self.children.get(key)
        if record is None:
            return
        record.killed_at, record.kill_cause, record.kill_reason = time.monotonic(), cause, reason
        if record.pid is None:
            # The template never told of it: without its channel the process, if there is one, ends itself.
            self._forget(record)
            return
        record.kill()

    def broadcast(self, order: messages.Order) -> None:
        """To all children; one that has gone is seen to elsewhere."""
        for record in self.children:
            try:
                record.channel.send(order)
            except ChannelClosed:
                logger.debug("%s has gone already", record.name)

    # What children report.

    def _report(self, record: ChildRecord) -> None:
        try:
            while (report := record.channel.receive()) is not None:
                self._take(record, report)
        except ChannelClosed:
            asyncio.get_running_loop().remove_reader(record.channel.fileno())
            if record.pid is None:
                self._forget(record)
        self.wake()

    def _take(self, record: ChildRecord, report: messages.Report) -> None:
        match report:
            case messages.Ready(info):
                self._became_ready(record, info)
            case messages.Forked(row, pid):
                self._forked(row, pid)
            case messages.Happened(event, reason, details):
                self.events.add(event, reason, details)
            case messages.Reloaded(ticket):
                if ticket in self.reloads and record.key in self.reloads[ticket]:
                    self.reloads[ticket][record.key] = report

    def _became_ready(self, record: ChildRecord, info: dict[str, str]) -> None:
        if record.ready_at is not None:
            return
        record.ready_at = time.monotonic()
        record.info = info
        self.qgis_version = info.get("qgis_version", self.qgis_version)
        took = record.ready_at - record.started_at
        details = {"slot": record.slot, "pid": record.pid, "generation": record.generation}
        self.events.add(f"{record.role}.ready", f"{record.name} is ready after {1000 * took:.0f} ms", details)

    def _forked(self, row: int, pid: int) -> None:
        record = self.children.get(row)
        if record is None or record.pid is not None:
            return
        try:
            self.spawner.adopt(record, pid)
        except ProcessLookupError:
            self._forget(record)
            return
        assert record.pidfd is not None
        asyncio.get_running_loop().add_reader(record.pidfd, self._ended, record)

    # How children end.

    def _ended(self, record: ChildRecord) -> None:
        # What it said before it died is still in the channel.
        self._report(record)
        status = record.collect()
        self._forget(record)
        if self.stopping != "no":
            return
        if record.kill_cause:
            self._was_killed(record)
        elif record.drained_at is not None and status == 0:
            reason = f"{record.name} has finished and gone"
            self.events.add(f"{record.role}.drained", reason, {"slot": record.slot, "pid": record.pid})
        else:
            self._crashed(record, status)

    def _was_killed(self, record: ChildRecord) -> None:
        reason = f"{record.name} was killed: {record.kill_reason}"
        details = {"slot": record.slot, "pid": record.pid, "cause": record.kill_cause}
        self.events.add(f"{record.role}.killed", reason, details)
        self._report_loss(record, record.kill_reason)
        if record.kill_cause == "start_timeout":
            self._pause(record, None)
            self._judge_startup(record, "was killed, because it was not ready in time")

    def _crashed(self, record: ChildRecord, status: int | None) -> None:
        how = _how_ended(status)
        doing = f" while it served {record.row.project}" if record.row.deadline else ""
        details = {"slot": record.slot, "pid": record.pid, "status": status}
        self.events.add(f"{record.role}.crashed", f"{record.name} {how}{doing}", details)
        self.crashes += 1
        self._report_loss(record, how)
        served = time.monotonic() - record.ready_at if record.ready_at is not None else None
        self._pause(record, served)
        self._judge_startup(record, how)

    def _report_loss(self, record: ChildRecord, reason: str) -> None:
        if record.role == "worker" and self.link is not None:
            self.link.worker_lost(self.instance.worker_name(record.slot, record.pid), reason)

    def _judge_startup(self, record: ChildRecord, how: str) -> None:
        """Before it ever served, a child that cannot start is a mistake to tell, not an accident to outlive.

        A worker gets a few tries: QGIS may crash once.
        """
        past = self.children.failures[record.role, record.slot]
        if not self.serving and (record.role != "worker" or past.failures >= _START_TRIES):
            self._startup_failure = (record, how)
            self.stopping = "quick"

    def raise_startup_failure(self) -> None:
        """Raises `StartError` when the instance ended because a child could not start."""
        if self._startup_failure is not None:
            record, how = self._startup_failure
            raise StartError(
                record.last_error or f"the {record.name} child {how} before it was ready; see the log"
            )

    def _pause(self, record: ChildRecord, served: float | None) -> None:
        slot = (record.role, record.slot)
        past = backoff.after_crash(self.children.failures.get(slot, backoff.Record()), served=served)
        self.children.failures[slot] = past
        pause = backoff.pause(past, self.settings.supervision.backoff_max)
        if pause:
            reason = f"{record.name} failed {past.failures} times in a row, it rests {pause:.1f} s"
            self.events.add(f"{record.role}.backoff", reason, {"slot": record.slot, "seconds": pause})
            self.children.resting[slot] = time.monotonic() + pause

    def _rest(self, role: policy.Role, slot: int, reason: str) -> None:
        self.events.add(f"{role}.failed", reason, {"slot": slot})
        self.children.resting[role, slot] = time.monotonic() + 1.0

    def _forget(self, record: ChildRecord) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(record.channel.fileno())
        if record.pidfd is not None:
            loop.remove_reader(record.pidfd)
        self.children.remove(record)
        self.spawner.discard(record)
        self.wake()

    def _reap_strangers(self) -> None:
        """Orphans that the subreaper inherited but never started, such as programs left by plugins."""
        if any(record.pid is None for record in self.children):
            # One of the dead may be a worker whose pid the template has not told yet.
            return
        known = self.children.pids()
        while True:
            try:
                dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if dead is None or dead.si_pid in known:
                return
            os.waitpid(dead.si_pid, os.WNOHANG)

    def _note_serving(self) -> None:
        if self.serving or self.stopping != "no":
            return
        if any(record.phase == "starting" for record in self.children):
            return
        ready = {record.role for record in self.children if record.phase == "ready"}
        self.serving = {role for role, count in self.targets().children.items() if count} <= ready
        if self.serving:
            self.instance.serving(self)

    # Settings.

    def configure(self, settings: Settings) -> None:
        """New settings for everybody; the number of workers only if the configuration itself changed it."""
        if settings.server.workers != self.settings.server.workers:
            self.workers = settings.server.workers
        self.settings = settings
        self.broadcast(messages.Configure(msgspec.msgpack.encode(settings)))
        self.wake()


def _how_ended(status: int | None) -> str:
    if status is None:
        return "ended"
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended by itself with status {status}"
