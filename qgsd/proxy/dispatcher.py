# SPDX-License-Identifier: GPL-2.0-or-later
"""The dispatcher: sockets around the scheduler. It hears what comes in; the `carrier` does what is decided.

One thread, one poll over two ROUTER sockets (http children in front, workers and the
masters of worker machines behind) and the channel to the master. Answers pass through
as they are: of a worker's frames only the small header is decoded, to know where it goes.

The listening sockets belong to the master (ZMQ_USE_FD): they outlive a dispatcher that
dies, so peers reconnect to its successor at the same address, and two dispatchers can
listen side by side while one replaces the other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import msgspec
import zmq

from qgsd import frames, messages
from qgsd.channel import ChannelClosed
from qgsd.child import Child
from qgsd.config import Settings
from qgsd.proxy import decisions as plan
from qgsd.proxy import routers
from qgsd.proxy.carrier import Carrier
from qgsd.proxy.costs import kind_of
from qgsd.proxy.doorkeeper import Doorkeeper
from qgsd.proxy.machine_desk import Losses, MachineDesk, process_of
from qgsd.proxy.project_desk import ProjectDesk, as_loaded
from qgsd.proxy.queue_desk import QueueDesk
from qgsd.proxy.scheduler import Scheduler
from qgsd.scoreboard import State

logger = logging.getLogger("qgsd.dispatcher")

# Seconds: life is shown at least as often, and figures at most.
_TICK = 0.5
_SHOW = 0.02

_Handler = Callable[[list[zmq.Frame]], None]


def _limits(settings: Settings) -> plan.Limits:
    return plan.Limits(
        max_queue=settings.zmq.maxqueue,
        queue_timeout=settings.zmq.timeout / 1000,
        worker_grace=settings.supervision.worker_grace,
        share=settings.supervision.project_workers,
        nested_depth=settings.supervision.nested_depth,
        breaker_timeouts=settings.supervision.breaker_timeouts,
        breaker_pause=settings.supervision.breaker_pause,
        quarantine_size=settings.supervision.quarantine_size,
        quarantine_ttl=settings.supervision.quarantine_ttl,
        cache_size=settings.cache.size,
        weights=settings.weights,
    )


class Dispatcher:
    """Feeds the scheduler with what arrives and carries out what it decides."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        addresses = [child.begin.front, *child.begin.back]
        listeners = [
            (address, listener.detach()) for address, listener in zip(addresses, child.listeners, strict=True)
        ]
        self.front, self.back = routers.make(self.context), routers.make(self.context)
        remote = len(child.begin.back) > 1
        self.doorkeeper = Doorkeeper(self.context, self.back, child.keys) if remote else None
        routers.bind(self.front, listeners[:1])
        routers.bind(self.back, listeners[1:], child.keys)
        self.scheduler = Scheduler(_limits(child.settings), time.monotonic())
        self.carrier = carrier = Carrier(child, self.scheduler, self.front, self.back)
        self.losses = Losses()
        self.machines = MachineDesk(self.scheduler, child.channel, self.back, carrier.cut_off)
        self.desk = ProjectDesk(self.scheduler, child.channel, carrier.carry_out, carrier.to_worker)
        self.queue = QueueDesk(self.scheduler, child.channel, time.monotonic())
        self.closing = False
        self.staffed = False
        # When time itself has something for the scheduler to do.
        self.alarm = 0.0
        # When the figures are written next, and whether they have changed since.
        self.show_at = 0.0
        self.unshown = True

    def run(self) -> None:
        """Work until drained or until the master has gone."""
        channel = self.child.channel.fileno()
        strangers = self.doorkeeper.sources if self.doorkeeper else ()
        sources = frames.readable(self.front, self.back, channel, *strangers)
        while not (self.closing and self._at_rest()):
            ready = frames.wait(sources, self._patience())
            if channel in ready:
                self._obey()
            if self.doorkeeper is not None:
                self.doorkeeper.attend()
                self.machines.look(departed=self.doorkeeper.somebody_departed())
            # Workers first: what frees a worker comes before what wants one. One message of each in a turn:
            # to be told by an exception that there is no further one costs more than to ask anew.
            if self.back in ready:
                self._receive(self.back, self._from_worker)
            if self.front in ready:
                self._receive(self.front, self._from_http)
            now = time.monotonic()
            if now >= self.alarm:
                self.carrier.carry_out(self.scheduler.tick(now))
            self._show(now)
        logger.info("the last request is answered, the dispatcher goes")
        if self.doorkeeper is not None:
            self.doorkeeper.close()
        self.context.destroy(linger=2000)

    def _patience(self) -> int:
        """Milliseconds until something is to be done though nothing comes."""
        now = time.monotonic()
        self.alarm = min(self.scheduler.next_alarm(), now + _TICK)
        wake = min(self.alarm, self.machines.next_alarm())
        if self.unshown:
            wake = min(wake, self.show_at)
        return int(max(0.0, wake - now) * 1000) + 1

    def _at_rest(self) -> bool:
        return self.scheduler.at_rest and not self.carrier.peers

    def _show(self, now: float) -> None:
        scheduler = self.scheduler
        if (scheduler.workers > 0) != self.staffed and not self.closing:
            self.staffed = not self.staffed
            self.carrier.to_all_http(messages.Workforce(scheduler.workers))
        self.queue.note(now)
        # Under load nobody looks as often as requests come.
        self.unshown = now < self.show_at and scheduler.at_work
        if self.unshown:
            return
        self.show_at = now + _SHOW
        row = self.child.row
        self.queue.count(row, now)
        self.desk.count(row)
        row.coalesced, row.tiles_cut = scheduler.coalesced, scheduler.tiles_cut
        if not self.closing:
            row.state = State.BUSY if scheduler.at_work else State.IDLE
        self.child.beat()

    def _obey(self) -> None:
        received = self.child.channel.receive(wait=False)
        match received[0] if received else None:
            case messages.Configure() as order:
                self.child.configure(order)
                if self.doorkeeper is not None:
                    self.doorkeeper.admit(self.child.keys)
                self.scheduler.limit(_limits(self.child.settings))
            case messages.Drain():
                self._close()
            case messages.PutInQuarantine(entry):
                self.scheduler.quarantine.put(entry.fingerprint, entry.until)
            case messages.ClearQuarantine():
                self.scheduler.quarantine.clear()
            case messages.OrderProjects() as order:
                self.desk.order(order)
            case messages.KeepProjects() as order:
                self.desk.keep(order)
            case messages.ListProjects(ticket):
                self.desk.tell(ticket)
            case messages.ListQueue(ticket):
                self.queue.tell(ticket, time.monotonic())
            case messages.OrderMachine() as order:
                self.machines.order(order)
            case _:
                pass

    def _close(self) -> None:
        self.closing = True
        self.child.row.state = State.DRAINING
        self.carrier.carry_out(self.scheduler.close())
        self.carrier.to_all_http(messages.Moving())
        for worker in self.scheduler.worker_names():
            self.carrier.to_worker(worker, messages.Moving())
        self.machines.close()

    @staticmethod
    def _receive(socket: zmq.Socket[bytes], handle: _Handler) -> None:
        if (message := frames.receive(socket)) is None:
            return
        try:
            handle(message)
        except (msgspec.MsgspecError, ValueError) as nonsense:
            logger.warning("a message that makes no sense was dropped: %s", nonsense)

    # In front: http children.

    def _from_http(self, message: list[zmq.Frame]) -> None:
        peer, header, body = message
        sender = peer.bytes
        match messages.decode_from_http(header.buffer):
            case messages.Request() as request:
                self._request(sender, request, header, body)
            case messages.Cancel(id):
                self.carrier.carry_out(self.scheduler.cancelled(id))
            case messages.Hold(id):
                self.carrier.carry_out(self.scheduler.pauses.held(id, time.monotonic()))
            case messages.Resume(id):
                self.carrier.carry_out(self.scheduler.pauses.resumed(id, time.monotonic()))
            case messages.Attach():
                self.carrier.peers.add(sender)
                answer = messages.Moving() if self.closing else messages.Workforce(self.scheduler.workers)
                self.carrier.to_http(sender, answer)
                self.carrier.to_http(sender, self.carrier.announcer.state())
            case messages.Detach():
                self.carrier.peers.discard(sender)

    def _request(self, peer: bytes, request: messages.Request, header: zmq.Frame, body: zmq.Frame) -> None:
        self.child.row.requests += 1
        arrival = plan.Arrival(
            id=request.id,
            peer=peer,
            key=request.project,
            idempotent=request.idempotent,
            timeout=request.timeout,
            fingerprint=request.fingerprint,
            depth=request.depth,
            parent=request.parent,
            flight=request.flight,
            tenant=request.client if self.child.settings.fairness.key == "client" else request.project,
            kind=kind_of(request.service, request.operation, request.pixels),
            payload=(header, body),
            tile=request.tile,
        )
        self.carrier.carry_out(self.scheduler.arrived(arrival, time.monotonic()))

    # Behind: workers, and the masters of their machines.

    def _from_worker(self, received: list[zmq.Frame]) -> None:
        peer, header, data = received
        worker = peer.bytes
        message = messages.decode_from_worker(header.buffer)
        match message:
            case messages.Failure(id=id, code="timeout"):
                self.carrier.carry_out(self.scheduler.ran_out(worker, id, time.monotonic()))
            case messages.Answer() | messages.Chunk() | messages.End() | messages.Failure():
                self.carrier.pass_on(worker, message, header, data)
                if _ends_answer(message):
                    self.carrier.carry_out(self.scheduler.finished(worker, message.id, time.monotonic()))
            case messages.Join():
                self._join(worker, message)
            case messages.Leave():
                self.carrier.carry_out(self.scheduler.leaving(worker, time.monotonic()))
            case messages.Declined(id):
                self.carrier.carry_out(self.scheduler.declined(worker, id, time.monotonic()))
            case messages.Superseded(id, version, known):
                now = time.monotonic()
                self.carrier.carry_out(self.scheduler.superseded(worker, id, version, now, known=known))
            case messages.ProjectLoaded() | messages.ProjectClosed() | messages.ProjectChanged():
                self.desk.heard(worker, message)
            case messages.WorkerLost():
                self._process_lost(message)
            case messages.MachineHere() | messages.MachineLeft() | messages.MachineDone():
                self.machines.heard(worker, message)

    def _join(self, worker: bytes, join: messages.Join) -> None:
        who = join.machine or worker.decode(errors="replace")
        if reason := self.machines.refusal(who, join.protocol, join.version):
            self.carrier.to_worker(worker, messages.Dismiss(reason))
        elif worker in self.losses:
            logger.debug("%s died before its greeting arrived", worker)
        elif self.closing:
            self.carrier.to_worker(worker, messages.Moving())
        else:
            logger.debug("%s joined", worker.decode(errors="replace"))
            self.carrier.announcer.joined(join)
            self.carrier.to_worker(worker, messages.Welcome(recalls=True))
            self.carrier.to_worker(worker, self.desk.pins)
            has_open = [as_loaded(copy) for copy in join.has_open]
            self.carrier.carry_out(
                self.scheduler.joined(
                    worker,
                    time.monotonic(),
                    reserve=join.reserve,
                    has_open=has_open,
                    prefetches=join.prefetches,
                    joins=join.joins,
                )
            )

    def _process_lost(self, loss: messages.WorkerLost) -> None:
        process = loss.worker.encode()
        self.losses.add(process)
        for worker in self.scheduler.worker_names():
            if process_of(worker) == process:
                self.carrier.lost(worker, loss.reason, own_fault=loss.own_fault)


def _ends_answer(message: messages.AnswerPart) -> bool:
    if isinstance(message, messages.Answer):
        return message.last
    return isinstance(message, messages.End | messages.Failure)


def main() -> None:
    """Run as a child of the master: `python -m qgsd.proxy.dispatcher`."""
    child = Child.start()
    dispatcher = Dispatcher(child)
    child.ready()
    try:
        dispatcher.run()
    except ChannelClosed:
        logger.debug("the master has gone")


if __name__ == "__main__":
    main()
