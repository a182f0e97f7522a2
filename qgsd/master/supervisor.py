# SPDX-License-Identifier: GPL-2.0-or-later
"""The master's loop: gather, decide, act.

It gathers what children report, how they end and which signals came; `policy` decides;
it starts, drains and kills. It waits for nothing and nobody: commands that wait for an
effect (`operations`) watch the same state turn by turn.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from qgsd import linux, messages, preload
from qgsd.channel import ChannelClosed
from qgsd.cluster_key import ClusterKey
from qgsd.config import Settings
from qgsd.errors import StartError
from qgsd.master import child_logs, policy, strangers, vitals
from qgsd.master.activation import Knock
from qgsd.master.children import ChildRecord, Children
from qgsd.master.events import EventLog
from qgsd.master.exits import Exits
from qgsd.master.fleet_orders import FleetOrders
from qgsd.master.instance import Instance, encoded_for
from qgsd.master.limits import limits_of
from qgsd.master.machine_link import MachineLink
from qgsd.master.project_orders import ProjectOrders
from qgsd.master.snapshot import Memory, Role, Slot, Snapshot, Stopping, Targets
from qgsd.master.spawn import Spawner
from qgsd.scoreboard import Scoreboard

logger = logging.getLogger("qgsd.master")

_TICK = 0.2
_MEASURE = 1.0
_GAP = 2.0
_RESERVE_SECONDS = 10.0
_HANDLED = ("HUP", "TERM", "INT", "QUIT", "USR1", "USR2", "TTIN", "TTOU")


class Supervisor:
    """Keeps the children of one instance as the targets say."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.settings = instance.settings
        self.started_at = time.monotonic()
        self.events = EventLog()
        self.children = Children(Scoreboard.create())
        self.exits = Exits(self.children, self.events, self._worker_lost)
        server = instance.settings.server
        preloaded = preload.Wanted(server.allocator, server.png)
        self.spawner = Spawner(self.children, instance.tmp, instance.user, instance.answers, preloaded)
        self.link = MachineLink(instance.back, instance.keys) if instance.has_workers else None
        self.generation = 1
        self.workers = self.settings.server.workers
        self.stopping: Stopping = "no"
        self.serving = False
        self.restarts = 0
        self.qgis_version = ""
        self.quarantine: OrderedDict[str, messages.Poison] = OrderedDict()
        self.plugins: list[messages.Plugin] = []
        self.orders = ProjectOrders(self.children)
        self.machines = FleetOrders(self.children, self.events)
        self.signals: deque[str] = deque()
        self._wake = asyncio.Event()
        self.gate_knock = Knock(instance.gate, self.wake)
        self._turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._begun: set[Slot] = set()
        self._reserve_size = 0
        self._reserve_wanted_at = float("-inf")
        self._memory = Memory()
        self._measured_at = self._last_turn = self._watched_since = time.monotonic()

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
            self._measure()
            self._act(policy.decide(self.snapshot()))
            self._reap_strangers()
            self._note_serving()
            on_turn()
            self._end_turn()
            await self._sleep()
        self.gate_knock.close()
        await strangers.see_off()

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

    def targets(self) -> Targets:
        children: dict[Role, int] = {}
        if self.instance.has_http:
            children |= {"dispatcher": 1, "http": self.settings.server.jobs}
        if self.instance.has_workers:
            children |= {"template": 1, "worker": self.workers + self._reserve()}
        if self.instance.has_admin:
            children["admin"] = 1
        if self.gate_knock.heard:
            children["gate"] = 1
        return Targets(self.generation, children)

    def _reserve(self) -> int:
        """Workers beyond the target, as long as nested requests have wanted them lately."""
        wanted_lately = time.monotonic() - self._reserve_wanted_at < _RESERVE_SECONDS
        return self._reserve_size if wanted_lately else 0

    def snapshot(self) -> Snapshot:
        return Snapshot(
            now=time.monotonic(),
            stopping=self.stopping,
            targets=self.targets(),
            limits=limits_of(self.settings),
            children=tuple(record.view() for record in self.children),
            resting=self.children.resting,
            memory=self._memory,
            watched_since=self._watched_since,
        )

    def _measure(self) -> None:
        """Look at every child once a second; a gap means that we, or the machine, were asleep."""
        now = time.monotonic()
        if now - self._last_turn > _GAP:
            self._watched_since = now
        self._last_turn = now
        if now - self._measured_at < _MEASURE:
            return
        self._measured_at = now
        self._memory = vitals.memory_of_the_whole()
        for record in self.children:
            if record.pid is not None and (sample := vitals.sample(record.pid, now)):
                record.vitals = vitals.judge(record.vitals, record.sample, sample, record.row)
                record.sample = sample

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
                case policy.Retire(key, reason, cause):
                    self._retire(key, reason, cause)

    def _start(self, role: Role, slot: int) -> None:
        try:
            begin = self.instance.begin(role, slot, self.settings)
            if role == "worker":
                template = self.children.template_for_fork()
                if template is None:
                    return
                record = self.spawner.fork(template, slot, begin, reserve=slot >= self.workers)
            else:
                listeners = self.instance.descriptors_for(role)
                record = self.spawner.execute(role, slot, self.generation, listeners, begin)
        except (ChannelClosed, OSError, StartError) as error:
            self._rest(role, slot, f"{role} cannot be started: {error}")
            return
        record.back = begin.back
        self.children.add(record)
        if role == "dispatcher":
            self.orders.introduce(record)
            self._tell_quarantine(record)
        self.restarts += (role, slot) in self._begun
        self._begun.add((role, slot))
        self._watch(record)

    def _watch(self, record: ChildRecord) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(record.channel.fileno(), self._report, record)
        if record.pidfd is not None:
            loop.add_reader(record.pidfd, self._ended, record)
        following = child_logs.follow(
            record.log_pipe, f"qgsd.{record.name}", record.heard, lambda: record.row.request
        )
        record.log = asyncio.create_task(following, name="child log")

    def _drain(self, key: int, reason: str, linger: float) -> None:
        record = self.children.get(key)
        if record is None:
            return
        logger.debug("%s is to go: %s", record.name, reason)
        record.drained_at, record.drain_reason = time.monotonic(), reason
        try:
            record.channel.send(messages.Drain(linger))
        except ChannelClosed:
            logger.debug("%s has gone already", record.name)

    def _retire(self, key: int, reason: str, cause: str) -> None:
        record = self.children.get(key)
        if record is not None:
            record.retiring, record.retire_cause = reason, cause
            details = {"slot": record.slot, "pid": record.pid}
            self.events.add(f"{record.role}.retired", f"{record.name} is replaced: {reason}", details)

    def kill(self, key: int, cause: str, reason: str) -> None:
        record = self.children.get(key)
        if record is None:
            return
        record.killed_at, record.kill_cause, record.kill_reason = time.monotonic(), cause, reason
        if record.pid is None:
            # The template never told of it: without the master the process, if there is one, ends itself.
            record.channel.hang_up()
            if self.stopping != "quick":
                # A template that does not fork must not keep the slot; at the end nobody may be left.
                self._forget(record)
            return
        record.kill()

    def tell(self, record: ChildRecord, order: messages.Order) -> None:
        """To one child, unless it has gone."""
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
                self._ended_unadopted(record)
        self.wake()

    def _ended_unadopted(self, record: ChildRecord) -> None:
        """A worker has gone before its pid was known: it may have served already, or never have been forked.

        The template tells of a worker before that one does anything, so the word has come if there was one.
        """
        for template in self.children.of("template"):
            self._report(template)
        if record.pid is None:
            self._forget(record)

    def _take(self, record: ChildRecord, report: messages.Report) -> None:
        match report:
            case messages.Ready(info):
                self._became_ready(record, info)
            case messages.Forked(row, pid):
                self._forked(row, pid)
            case messages.Happened(event, reason, details):
                self.events.add(event, reason, details)
            case messages.WantReserve(workers):
                # Not fewer than somebody else has asked for just before.
                self._reserve_size = max(workers, self._reserve())
                self._reserve_wanted_at = time.monotonic()
            case messages.Poisonous(entry):
                self.quarantine[entry.fingerprint] = entry
                while len(self.quarantine) > self.settings.supervision.quarantine_size:
                    self.quarantine.popitem(last=False)
            case messages.PluginsFound(plugins):
                self.plugins = plugins
            case (
                messages.ProjectsOrdered()
                | messages.ProjectDone()
                | messages.ProjectsListed()
                | messages.QueueListed()
            ):
                self.orders.heard(report)
            case (
                messages.MachineSeen()
                | messages.MachineGone()
                | messages.MachineRefused()
                | messages.MachineAnswered()
            ):
                self.machines.heard(record.key, report)

    def _tell_quarantine(self, dispatcher: ChildRecord) -> None:
        """What its predecessors knew."""
        try:
            for entry in self.quarantine.values():
                dispatcher.channel.send(messages.PutInQuarantine(entry))
        except ChannelClosed as full:
            logger.warning("not all requests in quarantine are kept from running: %s", full)

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
            self._ended(record)
            return
        assert record.pidfd is not None
        asyncio.get_running_loop().add_reader(record.pidfd, self._ended, record)

    # How children end.

    def _ended(self, record: ChildRecord) -> None:
        # What it said before it died is still in the channel.
        self._report(record)
        status = record.collect()
        self._forget(record)
        pause = self.settings.supervision.backoff_max
        settled = self.serving or self.stopping != "no"
        if not self.exits.judge(record, status, longest_pause=pause, served_yet=settled):
            self.stopping = "quick"

    def _worker_lost(self, record: ChildRecord, reason: str, own_fault: bool) -> None:
        if record.role == "worker" and self.link is not None:
            name = self.instance.worker_name(record.slot, record.pid)
            self.link.worker_lost(name, reason, own_fault=own_fault)

    def _rest(self, role: Role, slot: int, reason: str) -> None:
        self.events.add(f"{role}.failed", reason, {"slot": slot})
        self.children.resting[role, slot] = time.monotonic() + 1.0

    def _forget(self, record: ChildRecord) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(record.channel.fileno())
        if record.pidfd is not None:
            loop.remove_reader(record.pidfd)
        self.children.remove(record)
        if record.role == "dispatcher":
            self.machines.dispatcher_gone(record.key)
        self.wake()
        # After the turn that starts its successor: a folder may hold much.
        loop.call_soon(self.spawner.discard, record)

    def _reap_strangers(self) -> None:
        # Else one of the dead may be a worker whose pid the template has not told yet.
        if all(record.pid is not None for record in self.children):
            strangers.reap(self.children.pids())

    def _note_serving(self) -> None:
        if self.serving or self.stopping != "no":
            return
        if any(record.phase == "starting" for record in self.children):
            return
        ready = {record.role for record in self.children if record.phase == "ready"}
        self.serving = {role for role, count in self.targets().children.items() if count} <= ready
        if self.serving:
            self.instance.on_serving()

    # Settings.

    def use_keys(self, keys: list[ClusterKey]) -> None:
        """The keys of the cluster have been read again; children are told by `configure`."""
        old, self.instance.keys = self.instance.keys, keys
        if keys == old:
            return
        if self.link is not None:
            self.link.use(keys)
        if self.instance.role == "proxy" and keys[:1] != old[:1]:
            self.events.add(
                "config.needs-restart", "the proxy takes another first key with `qgsdctl restart`"
            )
        else:
            self.events.add("config.changed", f"{len(keys)} keys of the cluster are valid now")

    def configure(self, settings: Settings) -> None:
        """New settings for everybody; the number of workers only if the configuration itself changed it."""
        if settings.server.workers != self.settings.server.workers:
            self.workers = settings.server.workers
        self.settings = settings
        keys = [key.secret for key in self.instance.keys]
        for record in self.children:
            try:
                encoded = encoded_for(record.role, settings)
            except StartError as error:
                logger.error("%s keeps its settings: %s", record.name, error)
                continue
            entitled = record.role in ("dispatcher", "worker")
            tls = self.instance.tls.get(record.role)
            self.tell(record, messages.Configure(encoded, keys if entitled else [], tls))
        self.wake()
