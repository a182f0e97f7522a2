# SPDX-License-Identifier: GPL-2.0-or-later
"""The control socket's end in the master.

Each command is a task of its own, so a scale that waits for its workers does not hold
up a ping. Whatever arrives, the loop goes on: a malformed frame is answered, a client
that has gone or does not read is forgotten. Sending never waits: a message that does
not fit the client's queue (a thousand) is lost to that client alone.

The protocol is in `qgsd.control.protocol`, the commands in `qgsd.control.commands`,
what they do is the master's (`qgsd.control.operations`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import zmq
import zmq.asyncio

from qgsd import cluster_key
from qgsd.cluster_key import ClusterKey
from qgsd.control import endpoint, protocol
from qgsd.control.commands import COMMANDS, Command, unknown_command
from qgsd.control.operations import Operations, Progress, Refused
from qgsd.control.protocol import ErrorCode, Id, Malformed, Reply, Request

logger = logging.getLogger("qgsd.control")

MAX_IN_FLIGHT = 64
"""Commands that run at a time; followers have as many places of their own."""

_HARD_LIMIT = 16 * protocol.MAX_REQUEST
"""Bytes in a frame at which ZeroMQ hangs up, rather than let us answer that it is too large."""

_LAST_WORDS = 200
"""Milliseconds that answers may take to leave when the socket closes."""


class _Gone(Exception):
    """The client has gone, or reads so slowly that it must be given up."""


class _Peer(NamedTuple):
    """Where answers go: a REQ puts an empty frame before its question and wants it back."""

    identity: bytes
    delimited: bool


class ControlServer:
    """Serves the control commands on `address`; lives in the master's event loop.

    With `readonly` it takes only commands that look. With a key it speaks CURVE, on TCP. Raises `Refused` at
    construction for an address that others could reach.
    """

    def __init__(
        self,
        address: str,
        operations: Operations,
        *,
        max_in_flight: int = MAX_IN_FLIGHT,
        readonly: bool = False,
        key: ClusterKey | None = None,
    ) -> None:
        self.address = endpoint.check_address(address, encrypted=key is not None)
        self._readonly = readonly
        self._key = key
        self._operations = operations
        self._max_in_flight = max_in_flight
        self._context: zmq.asyncio.Context | None = None
        self._socket: zmq.asyncio.Socket | None = None
        self._listener: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._streams: dict[tuple[_Peer, Id], asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Bind and listen; `address` is then the one to connect to. Raises `Refused` if it is taken."""
        context = zmq.asyncio.Context()
        socket = context.socket(zmq.ROUTER)
        socket.linger = 0
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.MAXMSGSIZE, _HARD_LIMIT)
        if self._key is not None and self.address.startswith("tcp://"):
            cluster_key.guard(socket, self._key)
        try:
            self.address = endpoint.bind(socket, self.address)
        except Refused:
            context.destroy(linger=0)
            raise
        self._context, self._socket = context, socket
        self._listener = asyncio.create_task(self._listen(socket), name="control")

    async def close(self) -> None:
        """Stop listening, answer `stopping` to what still runs, and remove the socket file."""
        if self._context is None or self._socket is None:
            return
        tasks = [*self._running, *self._streams.values()]
        if self._listener is not None:
            tasks.append(self._listener)
        socket, context = self._socket, self._context
        self._context = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        endpoint.release(self.address)
        socket.close(linger=_LAST_WORDS)
        self._socket = None
        context.term()

    # ---------------------------------------------------------------- receiving

    async def _listen(self, socket: zmq.asyncio.Socket) -> None:
        while True:
            try:
                frames = await socket.recv_multipart()
            except zmq.ContextTerminated:
                return
            except zmq.ZMQError:
                logger.exception("the control socket could not be read")
                await asyncio.sleep(0.1)
                continue
            try:
                self._receive(frames)
            except Exception:
                logger.exception("a control message could not be handled")
            # A flood of messages would be received without ever giving way to the master.
            await asyncio.sleep(0)

    def _receive(self, frames: list[bytes]) -> None:
        identity, *rest = frames
        delimited = len(rest) > 1 and not rest[0]
        peer = _Peer(identity, delimited)
        body = rest[1:] if delimited else rest
        if not any(body):
            return
        id: Id = None
        try:
            if len(body) != 1:
                raise Malformed(f"a request is one frame of JSON, not {len(body)} frames")
            request = protocol.decode_request(body[0])
            id = request.id
            self._accept(peer, request)
        except Refused as refusal:
            id = refusal.id if isinstance(refusal, Malformed) else id
            self._answer(peer, protocol.failure(id, refusal.code, refusal.message))

    def _accept(self, peer: _Peer, request: Request) -> None:
        """Start the task of a request; raises `Refused` if it is not to be."""
        if request.command == "cancel":
            self._cancel(peer, request.id)
            return
        command = COMMANDS.get(request.command)
        if command is None:
            raise Refused(ErrorCode.UNKNOWN_COMMAND, unknown_command(request.command))
        args = command.decode(request.args)
        if self._readonly and command.changes(args):
            raise Refused(
                ErrorCode.READ_ONLY, f"{command.name}: this control socket takes commands that only look"
            )
        if command.streams(args):
            self._start_stream(peer, request.id, command, args)
            return
        if len(self._running) >= self._max_in_flight:
            raise Refused(ErrorCode.BUSY, f"{len(self._running)} commands run already; try again later")
        task = asyncio.create_task(self._run(peer, request.id, command, args), name=f"control {command.name}")
        self._running.add(task)

    def _start_stream(self, peer: _Peer, id: Id, command: Command[Any], args: Any) -> None:
        key = (peer, id)
        if peer.delimited:
            raise Refused(ErrorCode.BAD_REQUEST, f"{command.name}: a REQ socket cannot follow, use a DEALER")
        if key in self._streams:
            raise Refused(ErrorCode.BAD_REQUEST, f"the id {id!r} is in use by something you follow")
        if len(self._streams) >= self._max_in_flight:
            raise Refused(ErrorCode.BUSY, f"{len(self._streams)} clients follow already; try again later")
        task = asyncio.create_task(self._run(peer, id, command, args), name=f"control {command.name}")
        self._streams[key] = task

    def _cancel(self, peer: _Peer, id: Id) -> None:
        stream = self._streams.get((peer, id))
        if stream is None:
            raise Refused(ErrorCode.BAD_REQUEST, "cancel: nothing is followed under this id")
        stream.cancel()

    # ------------------------------------------------------------------ running

    async def _run(self, peer: _Peer, id: Id, command: Command[Any], args: Any) -> None:
        reply = await self._reply(peer, id, command, args)
        # The place is free before the client can know: its next question may come at once.
        task = asyncio.current_task()
        self._running = {other for other in self._running if other is not task}
        self._streams = {key: other for key, other in self._streams.items() if other is not task}
        if reply is not None:
            self._answer(peer, reply)

    async def _reply(self, peer: _Peer, id: Id, command: Command[Any], args: Any) -> Reply | None:
        """What a command comes to; None if nobody is left to be answered."""
        progress = self._progress(peer, id, ends_with_client=command.streams(args))
        try:
            result = await command.run(self._operations, args, progress)
            return protocol.success(id, result)
        except _Gone:
            return None
        except Refused as refusal:
            return protocol.failure(id, refusal.code, refusal.message)
        except asyncio.CancelledError:
            return self._interrupted(id)
        except Exception as error:
            logger.exception("the control command %s failed", command.name)
            return protocol.failure(id, ErrorCode.FAILED, f"{command.name} failed: {_in_short(error)}")

    def _interrupted(self, id: Id) -> Reply:
        """What is answered when a task is cancelled: by its follower, or by `close`."""
        if self._context is None:
            return protocol.failure(id, ErrorCode.STOPPING, "the master is stopping")
        return protocol.success(id, [])

    def _progress(self, peer: _Peer, id: Id, *, ends_with_client: bool) -> Progress:
        """The callback of one command; only a stream hears of a client that has gone."""
        if peer.delimited:
            return _say_nothing

        def stream(report: dict[str, Any]) -> None:
            self._send(peer, protocol.progress(id, report))

        def report_only(report: dict[str, Any]) -> None:
            self._quietly(lambda: stream(report), "progress")

        return stream if ends_with_client else report_only

    # ------------------------------------------------------------------ sending

    def _answer(self, peer: _Peer, reply: Reply) -> None:
        try:
            self._send(peer, reply)
        except _Gone as gone:
            logger.debug("an answer found no reader: %s", gone)
        except Exception as error:
            logger.exception("a control answer could not be sent")
            substitute = protocol.failure(
                reply.id, ErrorCode.FAILED, f"done, but the answer is lost: {_in_short(error)}"
            )
            self._quietly(lambda: self._send(peer, substitute), "answer")

    def _quietly(self, send: Callable[[], None], what: str) -> None:
        try:
            send()
        except _Gone as gone:
            logger.debug("%s found no reader: %s", what, gone)
        except Exception:
            logger.exception("control %s could not be sent", what)

    def _send(self, peer: _Peer, reply: Reply) -> None:
        """Hand a message to ZeroMQ at once; raises `_Gone` if the client is away or far behind."""
        if self._socket is None:
            raise _Gone("the socket is closed")
        frame = protocol.encode(reply)
        frames = [peer.identity, b"", frame] if peer.delimited else [peer.identity, frame]
        # With DONTWAIT the future is done when it comes back; pyzmq's annotation hides that it is one.
        sent = cast("asyncio.Future[Any]", self._socket.send_multipart(frames, flags=zmq.DONTWAIT))
        error = sent.exception()
        if isinstance(error, zmq.ZMQError):
            raise _Gone(str(error))
        if error is not None:
            raise error


def _say_nothing(report: dict[str, Any]) -> None:
    """Progress for a REQ client, which may be sent one message only."""


def _in_short(error: BaseException) -> str:
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
