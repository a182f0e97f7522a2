# SPDX-License-Identifier: GPL-2.0-or-later
"""Carries out what the scheduler decides: messages to http children, to workers, and to the master.

Who cannot be reached has gone, which the scheduler is told at once.
"""

from __future__ import annotations

import logging
import time

import zmq

from qgsd import frames, messages
from qgsd.child import Child
from qgsd.proxy import decisions as plan
from qgsd.proxy.announcer import Announcer
from qgsd.proxy.poison import poison_of
from qgsd.proxy.project_desk import label_of
from qgsd.proxy.restraint import Restraint
from qgsd.proxy.scheduler import Scheduler

logger = logging.getLogger("qgsd.dispatcher")

# Seconds after which workers in reserve are asked for again: forks take a moment to arrive.
_AGAIN = 0.5


class Carrier:
    """`front` and `back` are the sockets to http children and to workers; `peers` are those http children."""

    def __init__(
        self, child: Child, scheduler: Scheduler, front: zmq.Socket[bytes], back: zmq.Socket[bytes]
    ) -> None:
        self.peers: set[bytes] = set()
        self.announcer = Announcer(scheduler.keeper.projects, child.row, child.begin.row, self.to_all_http)
        self._child = child
        self._scheduler = scheduler
        self._front = front
        self._back = back
        self._restraint = Restraint()
        self._reinforced_at = 0.0

    def carry_out(self, decisions: list[plan.Decision]) -> None:
        """All of them, in this order."""
        self.announcer.tell()
        for decision in decisions:
            match decision:
                case plan.Dispatch():
                    self._dispatch(decision)
                case plan.Fail():
                    self._fail(decision)
                case plan.GiveBack(peer, id):
                    self.to_http(peer, messages.HandBack(id))
                case plan.Recall(worker, id):
                    self.to_worker(worker, messages.Recall(id))
                case plan.Pause(worker, id):
                    self.to_worker(worker, messages.Hold(id))
                case plan.Continue(worker, id):
                    self.to_worker(worker, messages.Resume(id))
                case plan.Release(worker):
                    self.to_worker(worker, messages.Dismiss())
                case plan.Load(worker, key, generation, unless, version):
                    self.to_worker(worker, messages.LoadProject(key, generation, unless, version))
                case plan.Close(worker, key, keep):
                    self.to_worker(worker, messages.CloseProject(key, keep))
                case _:
                    self._report(decision)

    def _report(self, decision: plan.Decision) -> None:
        """What the master is to hear."""
        child = self._child
        match decision:
            case plan.Retry(id, key, worker):
                child.row.retries += 1
                who = worker.decode(errors="replace")
                self._tell("request.retried", f"{who} was lost while it ran the request", id, key)
            case plan.Quarantined(id, fingerprint, key, message):
                reason = f"request {fingerprint} crashed QGIS again and is not run for a while: {message}"
                self._tell("request.quarantined", reason, id, key)
                child.channel.send(messages.Poisonous(poison_of(decision)))
            case plan.Reinforce(workers):
                self._reinforce(workers)
            case plan.Tripped(key, pause, message):
                event = "project.suspended" if pause else "project.recovered"
                child.happened(event, message, project=key, seconds=pause)
            case plan.Note():
                self._note(decision)
            case plan.Done(ticket, key, status, error):
                child.channel.send(messages.ProjectDone(ticket, key, status, error))
            case _:
                pass

    def _reinforce(self, workers: int) -> None:
        now = time.monotonic()
        if now - self._reinforced_at > _AGAIN:
            self._reinforced_at = now
            self._child.channel.send(messages.WantReserve(workers))

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
            frames.send(self._back, [decision.worker, messages.encode(assignment), header, body, *beside])
        except zmq.ZMQError as unreachable:
            self.lost(decision.worker, f"it cannot be reached ({unreachable})", own_fault=False)

    def _fail(self, failure: plan.Fail) -> None:
        told = messages.Failure(
            failure.id, failure.status, failure.code, failure.message, failure.retry_after
        )
        self.to_http(failure.peer, told)
        if failure.status == 504:
            self._child.row.timeouts += 1
            self._tell("request.timeout", failure.message, failure.id, failure.key)

    def _tell(self, event: str, reason: str, id: str, project: str) -> None:
        self._child.happened(event, reason, request=messages.public_id(id), project=project)

    def _note(self, note: plan.Note) -> None:
        """Tell an event, of those that the traffic makes only some."""
        left_out = 0
        if note.often:
            told = self._restraint.admits(note.event, time.monotonic())
            if told is None:
                return
            left_out = told
        details = {
            "project": note.key,
            "worker": label_of(note.worker) if note.worker else None,
            "seconds": None if note.seconds is None else round(note.seconds, 3),
            "left_out": left_out or None,
        }
        known = {name: value for name, value in details.items() if value is not None}
        self._child.happened(note.event, note.message, **known)

    # Who has gone.

    def lost(self, worker: bytes, reason: str, *, own_fault: bool) -> None:
        self.carry_out(self._scheduler.lost(worker, time.monotonic(), reason, own_fault=own_fault))

    def cut_off(self, worker: bytes, reason: str) -> None:
        """The worker may live, but nothing reaches it."""
        self.lost(worker, reason, own_fault=False)

    def _http_gone(self, peer: bytes, reason: zmq.ZMQError) -> None:
        logger.info("an http child has gone with its clients (%s)", reason)
        self.peers.discard(peer)
        self.carry_out(self._scheduler.peer_gone(peer))

    # Sending.

    def pass_on(self, worker: bytes, part: messages.AnswerPart, header: zmq.Frame, data: zmq.Frame) -> None:
        """As it came to whom it was for; to others that share it under their own id."""
        for rider in self._scheduler.answering(worker, part.id):
            peer, id = rider.arrival.peer, rider.arrival.id
            told: zmq.Frame | bytes = header
            if id != part.id:
                told = messages.encode(messages.shared(part, id, time.monotonic() - rider.arrived_at))
            try:
                frames.send(self._front, [peer, told, data])
            except zmq.ZMQError as unreachable:
                self._http_gone(peer, unreachable)

    def to_worker(self, worker: bytes, message: messages.ToWorker) -> None:
        try:
            frames.send(self._back, [worker, messages.encode(message)])
        except zmq.ZMQError:
            # It has gone without a word; its master will say so.
            logger.debug("%s cannot be reached", worker)

    def to_http(self, peer: bytes, message: messages.ToHttp) -> None:
        try:
            frames.send(self._front, [peer, messages.encode(message), b""])
        except zmq.ZMQError as unreachable:
            self._http_gone(peer, unreachable)

    def to_all_http(self, message: messages.ToHttp) -> None:
        for peer in list(self.peers):
            self.to_http(peer, message)
