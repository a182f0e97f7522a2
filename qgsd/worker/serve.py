# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker: one request at a time, orders of the master in between."""

from __future__ import annotations

import logging
import os
import time
import traceback
from pathlib import Path

import zmq
from qgis.core import QgsProject

from qgsd import __version__, allocator, descriptors, frames, log, messages
from qgsd.channel import ChannelClosed
from qgsd.child import Child
from qgsd.cluster_key import KeyRing
from qgsd.location import LocationError
from qgsd.scoreboard import State
from qgsd.worker.answer import Answer
from qgsd.worker.background import in_background
from qgsd.worker.connection import Connection
from qgsd.worker.inbox import Assigned, Inbox
from qgsd.worker.loading import uses_databases
from qgsd.worker.nested import NestingMark
from qgsd.worker.projects import Projects, WrongVersion
from qgsd.worker.qgis_server import QgisServer
from qgsd.worker.rendering import Rendering
from qgsd.worker.watch import ChangeWatch

logger = logging.getLogger("qgsd.worker")

_BEAT_MS = 500
# Without descriptors QGIS opens no file and draws maps without the layer: a wrong answer is worse than none.
_FEW_DESCRIPTORS = 0.9


class Worker:
    """Serves one dispatcher; when that one leaves or dies, its successor."""

    def __init__(self, child: Child, qgis: QgisServer) -> None:
        self.child = child
        self.qgis = qgis
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        begin = child.begin
        self.label = f"{begin.machine}/{begin.slot}" if begin.machine else str(begin.slot)
        self.name = f"{child.settings.zmq.identity}:{begin.machine}:{begin.slot}:{os.getpid()}.{begin.run}"
        interface = qgis.server.serverInterface()
        assert interface is not None
        self.watch = ChangeWatch(self._interval())
        snapshots = Path(begin.tmpdir).parent / "projects"
        self.projects = Projects(
            child.settings, snapshots, interface.removeConfigCacheEntry, self.watch.watch, self.watch.unwatch
        )
        self.mark = NestingMark(begin.token, child.settings)
        self.rendering = Rendering(child, qgis)
        self.connections = 0
        self.keys = KeyRing(child.keys)
        self.back = begin.back
        self.announced = False
        self.draining = False
        self.dismissed = False
        self.running = ""
        self.recalled = ""
        self.tidied_at = 0
        # The most that may be open.
        self.descriptors = descriptors.limit()
        self.inbox = Inbox()
        self.postponed: list[messages.CloseProject] = []
        self.connection = self._join()

    def _interval(self) -> float:
        return self.child.settings.cache.check_interval

    def _join(self) -> Connection:
        self.connections += 1
        begin = self.child.begin
        connection = Connection(self.context, self.back, f"{self.name}:{self.connections}", self.keys.current)
        connection.send(
            messages.Join(
                messages.PROTOCOL,
                __version__,
                begin.machine,
                begin.slot,
                os.getpid(),
                begin.reserve,
                self.projects.overview(),
                self.qgis.dependence.code,
                self.qgis.dependence.depends(),
                prefetches=True,
                joins=True,
            )
        )
        self.sources = frames.readable(
            connection.socket, connection.monitor, self.child.channel.fileno(), self.watch.fileno()
        )
        return connection

    def run(self) -> None:
        """Work until dismissed after a drain. Raises `ChannelClosed` when the master has gone."""
        if self.child.begin.machine:
            # The proxy may be away for long; a worker that waits for it is no broken one.
            self._announce()
        while not self.dismissed:
            ready = frames.wait(self.sources, 0 if self.inbox else _BEAT_MS)
            self.child.beat()
            if not ready and not self.inbox:
                self._tidy()
            if self.child.channel.fileno() in ready:
                self._obey()
            if self.watch.fileno() in ready:
                for project, version in self.watch.take():
                    self.connection.send(messages.ProjectChanged(project, version))
            if self.connection.monitor in ready:
                self._watch_connection()
            elif self.connection.socket in ready:
                self._receive()
                self.heed()
            if self.inbox:
                self._serve_next()
        self.connection.close()
        self.context.destroy(linger=2000)

    def _tidy(self) -> None:
        """Nothing has come for a while: a render frees a third of what it took, which only others can use."""
        if self.tidied_at != self.child.row.requests:
            self.tidied_at = self.child.row.requests
            allocator.give_memory_back()

    def _announce(self) -> None:
        if not self.announced:
            self.announced = True
            self.child.ready()

    # Orders.

    def _obey(self) -> None:
        received = self.child.channel.receive(wait=False)
        match received[0] if received else None:
            case messages.Configure() as order:
                self.child.configure(order)
                self.keys.replace(self.child.keys)
                self.projects.configure(self.child.settings)
                self.watch.interval = self._interval()
                self.mark.configure(self.child.settings)
            case messages.LookAgain():
                self.watch.look_now()
            case messages.Reconnect(back):
                self._change_dispatcher(back)
            case messages.Drain():
                self._drain()
            case _:
                pass

    def _drain(self) -> None:
        self.draining = True
        self.child.row.state = State.DRAINING
        if self.connection.established:
            self._leave()
        else:
            # No dispatcher is there that could send anything or say goodbye.
            self.dismissed = True

    def _leave(self) -> None:
        """Ask to be let go; what has not been begun is for others."""
        self.connection.leave()
        for id in self.inbox.clear():
            self.connection.send(messages.Declined(id))

    def _change_dispatcher(self, back: list[str]) -> None:
        self.back = back
        if self.draining:
            return
        if self.connection.established:
            self._leave()
        else:
            self._rejoin()

    def leave_when_worn(self) -> None:
        """Before the last piece of an answer: to be heard before another request is assigned."""
        used, limit = descriptors.in_use(), self.descriptors
        if used >= _FEW_DESCRIPTORS * limit and not self.draining:
            reason = f"worker {self.label} goes: {used} of {limit} descriptors are open, something leaks them"
            self.child.happened("worker.retired", reason, slot=self.child.begin.slot, pid=os.getpid())
            self._drain()

    # The dispatcher.

    def _receive(self) -> None:
        if received := self._next_message():
            self._heard(*received)

    def _next_message(self) -> tuple[messages.ToWorker, list[zmq.Frame]] | None:
        received = frames.receive(self.connection.socket)
        return (messages.decode_to_worker(received[0].buffer), received[1:]) if received else None

    def _heard(self, message: messages.ToWorker, data: list[zmq.Frame]) -> None:
        match message:
            case messages.Assignment() as assignment:
                request, body, *beside = data
                first = messages.decode_request(request.buffer)
                joined = tuple(messages.decode_request(other.buffer) for other in beside)
                self._assigned(Assigned(assignment, first, body.bytes, joined))
            case messages.Welcome(recalls):
                self.connection.recalls = recalls
                self._announce()
            case messages.Recall(id):
                self._recall(id)
            case messages.Moving():
                self._leave()
            case messages.Dismiss(reason):
                self._let_go(reason)
            case messages.Hold(id):
                self._pause(id)
            case messages.LoadProject() as order:
                self._load(order)
            case messages.CloseProject() as order:
                self._close(order)
            case messages.Pins(keys):
                self.projects.pin(keys)

    def heed(self) -> None:
        """Hear all that has come. In mid-answer too: the client may want a pause."""
        while frames.are_there(self.connection.socket) and not self.dismissed:
            self._receive()

    def _assigned(self, assigned: Assigned) -> None:
        if self.connection.leaving and self.connection.recalls:
            self.connection.send(messages.Declined(assigned.request.id))
        else:
            self.inbox.put(assigned)

    def _recall(self, id: str) -> None:
        if self.running == id:
            self.recalled = id
        else:
            self.inbox.remove(id)
            self.connection.send(messages.Declined(id))

    def _serve_next(self) -> None:
        one = self.inbox.take()
        self._serve(one)
        if self.recalled:
            self.connection.send(messages.Declined(self.recalled))
            self.recalled = ""

    def _pause(self, id: str) -> None:
        """Wait for `Resume`. The master ends the process when the request's deadline passes meanwhile."""
        while self.running == id:
            if not self.connection.socket.poll(_BEAT_MS):
                self.child.beat()
                continue
            match self._next_message():
                case (messages.Resume(resumed), _) if resumed == id:
                    return
                case None | (messages.Hold() | messages.Resume(), _):
                    pass
                case (other, data):
                    self._heard(other, data)

    def _let_go(self, reason: str) -> None:
        if self.connection.leaving and not self.draining:
            self._rejoin()
        elif self.draining:
            self.dismissed = True
        else:
            # The machine's master tells people. When the proxy is exchanged for another one, this
            # connection breaks, and the worker asks that one.
            logger.debug("the proxy refused this worker: %s", reason)

    def _watch_connection(self) -> None:
        match self.connection.change():
            case "broken" if self.draining:
                self.dismissed = True
            case "broken":
                logger.info("the dispatcher has gone, joining its successor")
                self._rejoin()
            case "refused":
                self._refused()
            case "established":
                self.keys.accepted()

    def _refused(self) -> None:
        """While keys are exchanged the proxy has another one of ours, perhaps."""
        now = time.monotonic()
        if self.keys.refused(now):
            address = ", ".join(self.back)
            logger.warning("no proxy with our key is at %s: see key_file in [zmq] on both machines", address)
        if self.keys.turn():
            self._rejoin()

    def _rejoin(self) -> None:
        self.connection.close()
        # Whoever sent them has others run them.
        self.inbox.clear()
        self.recalled = ""
        self.connection = self._join()

    # Projects.

    def _load(self, order: messages.LoadProject) -> None:
        row, now = self.child.row, time.monotonic()
        row.project, row.request = order.project, ""
        row.since, row.deadline = now, now + self.child.settings.cache.load_timeout
        row.state = State.BUSY
        try:
            with in_background():
                loaded = self.projects.load(
                    order.project, order.generation, order.version, order.unless or None
                )
        except WrongVersion as wrong:
            outcome: messages.Outcome = "other" if wrong.known else "away"
            loaded = messages.ProjectLoaded(order.project, order.generation, outcome, wrong.version)
        self._tell_loaded(loaded)
        self._rest()

    def _tell_loaded(self, loaded: messages.ProjectLoaded) -> None:
        self.connection.send(loaded)
        for closed in self.projects.make_room():
            self.connection.send(messages.ProjectClosed(closed, 0))

    def _close(self, order: messages.CloseProject) -> None:
        if self.running:
            # It came in the middle of an answer, perhaps from that very project.
            self.postponed.append(order)
            return
        self.projects.close(order.project, order.keep)
        self.connection.send(messages.ProjectClosed(order.project, order.keep))

    def _project(self, assignment: messages.Assignment, key: str) -> tuple[QgsProject, float]:
        """The project of a request, and the seconds it took to load.

        Raises `LocationError` and `WrongVersion`.
        """
        generation = assignment.generation
        project = self.projects.open(key, generation)
        if project is not None:
            away = self.watch.unavailable(key)
            if away is not None and uses_databases(project):
                # Its data are away too, and QGIS would say that there are none (200, no features).
                raise away
            return project, 0.0
        loaded = self.projects.load(key, generation, assignment.version)
        self._tell_loaded(loaded)
        project = self.projects.open(key, generation)
        if project is None:
            raise LocationError(loaded.status, loaded.code, loaded.error)
        return project, loaded.seconds

    # Requests.

    def _serve(self, one: Assigned) -> None:
        assignment, request = one.assignment, one.request
        if assignment.remaining <= 0:
            self.connection.send(
                messages.Failure(request.id, 504, "timeout", "its time was over before its turn")
            )
            return
        self.running = request.id
        row, now = self.child.row, time.monotonic()
        id = messages.public_id(request.id)
        row.project, row.request = request.project, id
        log.about(id)
        row.since, row.deadline = now, now + assignment.remaining
        row.state = State.BUSY
        try:
            # Before the project: loading it may ask this server already.
            self.mark.set(request.depth, request.id)
            if request.service == messages.PLUGIN_API and not self.qgis.has_plugin_api_for(request.url):
                raise LocationError(404, "not_found", "there is nothing at this address")
            # Only an OGC API of a plugin may be asked without a project.
            project, load = self._project(assignment, request.project) if request.project else (None, 0.0)
            made_of = assignment.generation, self.projects.version(request.project, assignment.generation)
            answer = Answer(self, request.id, assignment.queued, load, made_of)
            self.rendering.answer(one, project, answer)
        except WrongVersion as wrong:
            self.connection.send(messages.Superseded(request.id, wrong.version, wrong.known))
        except LocationError as error:
            self.connection.send(messages.Failure(request.id, error.status, error.code, error.message))
        except Exception as error:
            # An error of ours in finding the project must cost the request, not the worker.
            logger.error("request %s failed: %s\n%s", request.id, error, traceback.format_exc())
            self.connection.send(
                messages.Failure(request.id, 500, "failed", "the server's log has the reason")
            )
        self.running = ""
        row.requests += 1
        log.settle(id)
        self._rest()
        while self.postponed:
            self._close(self.postponed.pop(0))

    def _rest(self) -> None:
        row = self.child.row
        # Before it counts as idle: a request may have taken longer than an idle worker may be silent.
        self.child.beat()
        row.deadline = row.since = 0.0
        row.state = State.DRAINING if self.draining else State.IDLE


def work(child: Child, qgis: QgisServer) -> None:
    """Be a worker until dismissed or until the master has gone."""
    worker = Worker(child, qgis)
    try:
        worker.run()
    except ChannelClosed:
        logger.debug("the master has gone")
    finally:
        worker.rendering.close()
