# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker: one request at a time, orders of the master in between."""

from __future__ import annotations

import logging
import os
import time
import traceback

import zmq
from qgis.core import QgsProject

from qgsd import __version__, messages
from qgsd.channel import ChannelClosed
from qgsd.child import Child
from qgsd.location import LocationError
from qgsd.scoreboard import State
from qgsd.worker.adapters import StreamedResponse, qgis_request
from qgsd.worker.connection import Connection
from qgsd.worker.nested import NestingMark
from qgsd.worker.projects import Projects
from qgsd.worker.qgis_server import QgisServer

logger = logging.getLogger("qgsd.worker")

_BEAT_MS = 500


class Worker:
    """Serves one dispatcher; when that one leaves or dies, its successor."""

    def __init__(self, child: Child, qgis: QgisServer) -> None:
        self.child = child
        self.qgis = qgis
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        begin = child.begin
        self.label = f"{begin.machine}/{begin.slot}" if begin.machine else str(begin.slot)
        self.name = f"{child.settings.zmq.identity}:{begin.machine}:{begin.slot}:{os.getpid()}"
        interface = qgis.server.serverInterface()
        assert interface is not None
        self.projects = Projects(child.settings, interface.removeConfigCacheEntry)
        self.mark = NestingMark(begin.token)
        self.connections = 0
        self.announced = False
        self.draining = False
        self.dismissed = False
        self.running = ""
        self.connection = self._join()

    def _join(self) -> Connection:
        self.connections += 1
        begin = self.child.begin
        connection = Connection(self.context, begin.back, f"{self.name}:{self.connections}")
        connection.send(
            messages.Join(
                messages.PROTOCOL, __version__, begin.machine, begin.slot, os.getpid(), begin.reserve
            )
        )
        self.poller = zmq.Poller()
        for source in (connection.socket, connection.monitor, self.child.channel.fileno()):
            self.poller.register(source, zmq.POLLIN)
        return connection

    def run(self) -> None:
        """Work until dismissed after a drain. Raises `ChannelClosed` when the master has gone."""
        if self.child.begin.machine:
            # The proxy may be away for long; a worker that waits for it is no broken one.
            self._announce()
        while not self.dismissed:
            ready = dict(self.poller.poll(_BEAT_MS))
            self.child.beat()
            if self.child.channel.fileno() in ready:
                self._obey()
            if self.connection.monitor in ready:
                self._watch_connection()
            elif self.connection.socket in ready:
                self._receive()
        self.connection.close()
        self.context.destroy(linger=2000)

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
                self.projects.settings = self.child.settings
            case messages.Reload(ticket, project):
                self.child.channel.send(messages.Reloaded(ticket, self.projects.reload(project)))
            case messages.Drain():
                self._drain()
            case _:
                pass

    def _drain(self) -> None:
        self.draining = True
        self.child.row.state = State.DRAINING
        if self.connection.established:
            self.connection.leave()
        else:
            # No dispatcher is there that could send anything or say goodbye.
            self.dismissed = True

    # The dispatcher.

    def _receive(self) -> None:
        frames = self.connection.socket.recv_multipart()
        match messages.decode_to_worker(frames[0]):
            case messages.Welcome():
                self._announce()
            case messages.Assignment() as assignment:
                self._serve(assignment, messages.decode_request(frames[1]), frames[2])
            case messages.Moving():
                self.connection.leave()
            case messages.Dismiss():
                self._let_go()
            case messages.Hold(id):
                self._pause(id)

    def heed(self) -> None:
        """In mid-answer: look whether the client wants a pause. Other messages are handled as ever."""
        while self.connection.socket.poll(0):
            self._receive()

    def _pause(self, id: str) -> None:
        """Wait for `Resume`. The master ends the process when the request's deadline passes meanwhile."""
        while self.running == id:
            if not self.connection.socket.poll(_BEAT_MS):
                self.child.beat()
                continue
            match messages.decode_to_worker(self.connection.socket.recv_multipart()[0]):
                case messages.Resume(resumed) if resumed == id:
                    return
                case messages.Moving():
                    self.connection.leave()
                case _:
                    pass

    def _let_go(self) -> None:
        if self.connection.leaving and not self.draining:
            self.connection.close()
            self.connection = self._join()
            return
        if not self.draining:
            logger.error("the proxy refused this worker; see its log")
        self.dismissed = True

    def _watch_connection(self) -> None:
        if not self.connection.has_broken():
            return
        if self.draining:
            self.dismissed = True
            return
        logger.info("the dispatcher has gone, joining its successor")
        self.connection.close()
        self.connection = self._join()

    # Requests.

    def _serve(self, assignment: messages.Assignment, request: messages.Request, body: bytes) -> None:
        self.running = request.id
        row, now = self.child.row, time.monotonic()
        row.project = request.project
        row.since, row.deadline = now, now + assignment.remaining
        row.state = State.BUSY
        try:
            # Before the project: loading it may ask this server already.
            self.mark.set(request.url, request.depth)
            if request.service == messages.PLUGIN_API and not self.qgis.has_plugin_api_for(request.url):
                raise LocationError(404, "not_found", "there is nothing at this address")
            project, load = self.projects.get(request.project)
            answer = _Answer(self, request.id, assignment.queued, load)
            self._run_qgis(request, body, project, answer)
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
        row.deadline = row.since = 0.0
        row.state = State.DRAINING if self.draining else State.IDLE

    def _run_qgis(self, request: messages.Request, body: bytes, project: QgsProject, answer: _Answer) -> None:
        response = StreamedResponse(answer.send)
        try:
            self.qgis.server.handleRequest(qgis_request(request, body), response, project)
            response.finish()
        except Exception as error:
            logger.error("request %s failed: %s\n%s", request.id, error, traceback.format_exc())
            if response.finished:
                return
            if response.started:
                answer.end(complete=False)
            else:
                message = "QGIS failed on this request; the log of the server has the reason"
                self.connection.send(messages.Failure(request.id, 500, "qgis_failed", message))


class _Answer:
    """The messages that make up one answer, with the time it took."""

    def __init__(self, worker: Worker, id: str, queued: float, load: float) -> None:
        self.worker = worker
        self.id = id
        self.queued = queued
        self.load = load
        self.started = time.monotonic()
        self.opened = False

    def _timing(self) -> messages.Timing:
        return messages.Timing(self.queued, self.load, time.monotonic() - self.started)

    def send(self, status: int, headers: messages.Headers, data: bytes, last: bool) -> None:
        connection = self.worker.connection
        if not self.opened:
            self.opened = True
            answer = messages.Answer(self.id, status, headers, self._timing(), self.worker.label, last)
            connection.send(answer, data)
        elif last:
            connection.send(messages.End(self.id, self._timing(), True), data)
        else:
            connection.send(messages.Chunk(self.id), data)
            self.worker.heed()

    def end(self, *, complete: bool) -> None:
        self.worker.connection.send(messages.End(self.id, self._timing(), complete))


def work(child: Child, qgis: QgisServer) -> None:
    """Be a worker until dismissed or until the master has gone."""
    try:
        Worker(child, qgis).run()
    except ChannelClosed:
        logger.debug("the master has gone")
