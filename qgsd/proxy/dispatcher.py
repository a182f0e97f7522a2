# SPDX-License-Identifier: GPL-2.0-or-later
"""The dispatcher: sockets around the scheduler.

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
from qgsd.proxy.announcer import Announcer
from qgsd.proxy.costs import kind_of
from qgsd.proxy.doorkeeper import Doorkeeper
from qgsd.proxy.machine_desk import Losses, MachineDesk, process_of
from qgsd.proxy.poison import poison_of
from qgsd.proxy.project_desk import ProjectDesk, as_loaded
from qgsd.proxy.queue_desk import QueueDesk
from qgsd.proxy.scheduler import Scheduler
from qgsd.scoreboard import State

logger = logging.getLogger("qgsd.dispatcher")

_TICK = 0.5
_BATCH = 64

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
        self.peers: set[bytes] = set()
        self.losses = Losses()
        self.machines = MachineDesk(self.scheduler, child.channel, self.back, self._cut_off)
        self.desk = ProjectDesk(self.scheduler, child.channel, self._carry_out, self._to_worker)
        self.queue = QueueDesk(self.scheduler, child.channel, time.monotonic())
        self.announcer = Announcer(
            self.scheduler.keeper.projects, child.row, child.begin.row, self._to_all_http
        )
        self.closing = False
        self.staffed = False
        self.reinforced_at = 0.0

    def run(self) -> None:
        """Work until drained or until the master has gone."""
        poller = zmq.Poller()
        for source in (self.front, self.back, self.child.channel.fileno()):
            poller.register(source, zmq.POLLIN)
        for source in self.doorkeeper.sources if self.doorkeeper else ():
            poller.register(source, zmq.POLLIN)
        while not (self.closing and self._at_rest()):
            ready = dict(poller.poll(self._patience()))
            if self.child.channel.fileno() in ready:
                self._obey()
            if self.doorkeeper is not None:
                self.doorkeeper.attend()
                self.machines.look(departed=self.doorkeeper.somebody_departed())
            # Workers first: what frees a worker comes before what wants one.
            if self.back in ready:
                self._drain_socket(self.back, self._from_worker)
            if self.front in ready:
                self._drain_socket(self.front, self._from_http)
            self._carry_out(self.scheduler.tick(time.monotonic()))
            self._show()
        logger.info("the last request is answered, the dispatcher goes")
        if self.doorkeeper is not None:
            self.doorkeeper.close()
        self.context.destroy(linger=2000)

    def _patience(self) -> int:
        alarm = self.scheduler.next_alarm() or float("inf")
        alarm = min(alarm, self.machines.next_alarm())
        return int(min(_TICK, max(0.0, alarm - time.monotonic())) * 1000) + 1

    def _at_rest(self) -> bool:
        return self.scheduler.at_rest and not self.peers

    def _show(self) -> None:
        row = self.child.row
        if (self.scheduler.workers > 0) != self.staffed and not self.closing:
            self.staffed = not self.staffed
            self._to_all_http(messages.Workforce(self.scheduler.workers))
        self.queue.count(row, time.monotonic())
        self.desk.count(row)
        row.coalesced, row.tiles_cut = self.scheduler.coalesced, self.scheduler.tiles_cut
        if not self.closing:
            row.state = State.BUSY if self.scheduler.at_work else State.IDLE
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
        self._carry_out(self.scheduler.close())
        self._to_all_http(messages.Moving())
        for worker in self.scheduler.worker_names():
            self._to_worker(worker, messages.Moving())
        self.machines.close()

    def _drain_socket(self, socket: zmq.Socket[bytes], handle: _Handler) -> None:
        for _ in range(_BATCH):
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
                self._carry_out(self.scheduler.cancelled(id))
            case messages.Hold(id):
                self._carry_out(self.scheduler.pauses.held(id, time.monotonic()))
            case messages.Resume(id):
                self._carry_out(self.scheduler.pauses.resumed(id, time.monotonic()))
            case messages.Attach():
                self.peers.add(sender)
                answer = messages.Moving() if self.closing else messages.Workforce(self.scheduler.workers)
                self._to_http(sender, answer)
                self._to_http(sender, self.announcer.state())
            case messages.Detach():
                self.peers.discard(sender)

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
        self._carry_out(self.scheduler.arrived(arrival, time.monotonic()))

    # Behind: workers, and the masters of their machines.

    def _from_worker(self, received: list[zmq.Frame]) -> None:
        peer, header, data = received
        worker = peer.bytes
        message = messages.decode_from_worker(header.buffer)
        match message:
            case messages.Failure(id=id, code="timeout"):
                self._carry_out(self.scheduler.ran_out(worker, id, time.monotonic()))
            case messages.Answer() | messages.Chunk() | messages.End() | messages.Failure():
                self._pass_on(worker, message, header, data)
                if _ends_answer(message):
                    self._carry_out(self.scheduler.finished(worker, message.id, time.monotonic()))
            case messages.Join():
                self._join(worker, message)
            case messages.Leave():
                self._carry_out(self.scheduler.leaving(worker, time.monotonic()))
            case messages.Declined(id):
                self._carry_out(self.scheduler.declined(worker, id, time.monotonic()))
            case messages.Superseded(id, version, known):
                now = time.monotonic()
                self._carry_out(self.scheduler.superseded(worker, id, version, now, known=known))
            case messages.ProjectLoaded() | messages.ProjectClosed() | messages.ProjectChanged():
                self.desk.heard(worker, message)
            case messages.WorkerLost():
                self._process_lost(message)
            case messages.MachineHere() | messages.MachineLeft() | messages.MachineDone():
                self.machines.heard(worker, message)

    def _pass_on(self, worker: bytes, part: messages.AnswerPart, header: zmq.Frame, data: zmq.Frame) -> None:
        """As it came to whom it was for; to others that share it under their own id."""
        for rider in self.scheduler.answering(worker, part.id):
            peer, id = rider.arrival.peer, rider.arrival.id
            told: zmq.Frame | bytes = header
            if id != part.id:
                told = messages.encode(messages.shared(part, id, time.monotonic() - rider.arrived_at))
            try:
                frames.send(self.front, [peer, told, data])
            except zmq.ZMQError as unreachable:
                self._http_gone(peer, unreachable)

    def _join(self, worker: bytes, join: messages.Join) -> None:
        who = join.machine or worker.decode(errors="replace")
        if reason := self.machines.refusal(who, join.protocol, join.version):
            self._to_worker(worker, messages.Dismiss(reason))
        elif worker in self.losses:
            logger.debug("%s died before its greeting arrived", worker)
        elif self.closing:
            self._to_worker(worker, messages.Moving())
        else:
            logger.debug("%s joined", worker.decode(errors="replace"))
            self.announcer.joined(join)
            self._to_worker(worker, messages.Welcome(recalls=True))
            self._to_worker(worker, self.desk.pins)
            has_open = [as_loaded(copy) for copy in join.has_open]
            self._carry_out(
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
                self._lost(worker, loss.reason, own_fault=loss.own_fault)

    def _cut_off(self, worker: bytes, reason: str) -> None:
        self._lost(worker, reason, own_fault=False)

    def _lost(self, worker: bytes, reason: str, *, own_fault: bool) -> None:
        self._carry_out(self.scheduler.lost(worker, time.monotonic(), reason, own_fault=own_fault))

    # Carrying out.

    def _carry_out(self, decisions: list[plan.Decision]) -> None:
        self.announcer.tell()
        for decision in decisions:
            match decision:
                case plan.Dispatch():
                    self._dispatch(decision)
                case plan.Fail():
                    self._fail(decision)
                case plan.GiveBack(peer, id):
                    self._to_http(peer, messages.HandBack(id))
                case plan.Retry(id, key, worker):
                    self.child.row.retries += 1
                    who = worker.decode(errors="replace")
                    self._tell("request.retried", f"{who} was lost while it ran the request", id, key)
                case plan.Quarantined(id, fingerprint, key, message):
                    reason = f"request {fingerprint} crashed QGIS again and is not run for a while: {message}"
                    self._tell("request.quarantined", reason, id, key)
                    self.child.channel.send(messages.Poisonous(poison_of(decision)))
                case plan.Reinforce(workers):
                    self._reinforce(workers)
                case plan.Tripped(key, pause, message):
                    event = "project.suspended" if pause else "project.recovered"
                    self.child.happened(event, message, project=key, seconds=pause)
                case plan.Recall(worker, id):
                    self._to_worker(worker, messages.Recall(id))
                case plan.Pause(worker, id):
                    self._to_worker(worker, messages.Hold(id))
                case plan.Continue(worker, id):
                    self._to_worker(worker, messages.Resume(id))
                case plan.Release(worker):
                    self._to_worker(worker, messages.Dismiss())
                case plan.Load(worker, key, generation, unless, version):
                    self._to_worker(worker, messages.LoadProject(key, generation, unless, version))
                case plan.Close(worker, key, keep):
                    self._to_worker(worker, messages.CloseProject(key, keep))
                case plan.Note():
                    self.desk.note(decision, self.child.happened)
                case plan.Done(ticket, key, status, error):
                    self.child.channel.send(messages.ProjectDone(ticket, key, status, error))

    def _reinforce(self, workers: int) -> None:
        """Ask again only now and then: forks take a moment to arrive."""
        now = time.monotonic()
        if now - self.reinforced_at > _TICK:
            self.reinforced_at = now
            self.child.channel.send(messages.WantReserve(workers))

    def _dispatch(self, decision: plan.Dispatch) -> None:
        assignment = messages.Assignment(
            decision.queued,
            decision.remaining,
            decision.attempt,
            decision.generation,
            decision.version,
            time.monotonic(),
            [other.queued for other in decision.joined],
        )
        header, body = decision.payload
        beside = [other.payload[0] for other in decision.joined]
        try:
            frames.send(self.back, [decision.worker, messages.encode(assignment), header, body, *beside])
        except zmq.ZMQError as unreachable:
            self._lost(decision.worker, f"it cannot be reached ({unreachable})", own_fault=False)

    def _fail(self, failure: plan.Fail) -> None:
        told = messages.Failure(
            failure.id, failure.status, failure.code, failure.message, failure.retry_after
        )
        self._to_http(failure.peer, told)
        if failure.status == 504:
            self.child.row.timeouts += 1
            self._tell("request.timeout", failure.message, failure.id, failure.key)

    def _tell(self, event: str, reason: str, id: str, project: str) -> None:
        self.child.happened(event, reason, request=messages.public_id(id), project=project)

    def _to_worker(self, worker: bytes, message: messages.ToWorker) -> None:
        try:
            frames.send(self.back, [worker, messages.encode(message)])
        except zmq.ZMQError:
            # It has gone without a word; its master will say so.
            logger.debug("%s cannot be reached", worker)

    def _to_http(self, peer: bytes, message: messages.ToHttp) -> None:
        try:
            frames.send(self.front, [peer, messages.encode(message), b""])
        except zmq.ZMQError as unreachable:
            self._http_gone(peer, unreachable)

    def _to_all_http(self, message: messages.ToHttp) -> None:
        for peer in list(self.peers):
            self._to_http(peer, message)

    def _http_gone(self, peer: bytes, reason: zmq.ZMQError) -> None:
        logger.info("an http child has gone with its clients (%s)", reason)
        self.peers.discard(peer)
        self._carry_out(self.scheduler.peer_gone(peer))


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
