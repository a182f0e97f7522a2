# SPDX-License-Identifier: GPL-2.0-or-later
"""The client library: talk to a running instance from Python.

    from qgsd.control import Client

    with Client() as client:                        # the local instance
        print(client.call("status")["workers"])
        client.call("scale", workers="+1", on_progress=print)
        for event in client.events(follow=True):
            print(event["event"], event["reason"])

Commands, their arguments and results are those of the wire (`qgsd.control.protocol`);
results are plain dicts and lists. A client belongs to one thread.

ZeroMQ does not say whether anyone listens, and a command may take minutes. So the
first call asks for a sign of life and gives up soon; while a long command runs, silence
is broken by further pings, and a master that went away or was replaced is noticed.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import zmq
from msgspec import UNSET

from qgsd import cluster_key
from qgsd.cluster_key import ClusterKey
from qgsd.control import protocol
from qgsd.control.commands.look import ALIVE
from qgsd.control.endpoint import explain_silence
from qgsd.control.errors import BadUsage, CommandFailed, NoMaster
from qgsd.control.operations import Progress
from qgsd.control.protocol import ErrorCode, Reply, Request
from qgsd.errors import StartError

CONNECT_TIMEOUT = 2.0
"""Seconds in which a living master answers a ping."""

_PROBE_AFTER = 5.0
_SILENCES = 3
"""A master that leaves this many pings in a row without an answer is gone; 15 seconds in all."""

_FRESH = 1.0
"""Seconds for which an earlier message is proof enough that the master is there."""

_LINGER = 200
"""Milliseconds for the last message to leave when the client closes."""


class Client:
    """A connection to the control socket at `address`, by default that of the local instance.

    `timeout` is how long a command may take, `connect_timeout` how long the master may
    take to answer at all; both in seconds. `key`, or that of `key_file`, is for a socket on TCP that
    wants one ([control] key_file); QGSRV_CONTROL_KEY_FILE may name it too. Raises `NoMaster` or `BadUsage`.
    """

    def __init__(
        self,
        address: str | None = None,
        timeout: float = 60.0,
        *,
        connect_timeout: float = CONNECT_TIMEOUT,
        key_file: str | None = None,
        key: ClusterKey | None = None,
    ) -> None:
        if address is None:
            from qgsd.control.locate import find_control

            address = find_control()
        self.address = address
        self.timeout = timeout
        self._connect_timeout = min(connect_timeout, timeout)
        self._master: int | None = None
        self._heard = float("-inf")
        self._ids = itertools.count(1)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.setsockopt(zmq.IPV6, int("[" in address))
        if address.startswith("tcp://") and (key := key or _key(key_file)) is not None:
            cluster_key.introduce(self._socket, key)
        try:
            self._socket.connect(address)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise BadUsage(
                "bad_address", f"{address!r} is not the address of a control socket: {error}"
            ) from None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; what was asked for goes on. May be called twice."""
        if not self._context.closed:
            self._context.destroy(linger=_LINGER if self._is_fresh() else 0)

    def connect(self) -> None:
        """Make sure that a master answers; raises `NoMaster`. Calls do this by themselves."""
        wanted = self._send("ping", {})
        deadline = time.monotonic() + self._connect_timeout
        while (remaining := deadline - time.monotonic()) > 0:
            reply = self._receive(remaining)
            # Any answer will do, `busy` as well; only a pong has a pid.
            if reply is not None and reply.id == wanted:
                self._master = _pid_in(reply)
                return
        raise NoMaster(explain_silence(self.address))

    def call(self, command: str, /, *, on_progress: Progress | None = None, **args: Any) -> Any:
        """Run a command and return its result.

        `on_progress` is called with each progress report (a dict). Raises `CommandFailed` with
        the master's code, or `timeout`; `NoMaster` if it does not answer or goes away meanwhile.
        """
        if not self._is_fresh():
            self.connect()
        id = self._send(command, args)
        for reply in self._messages(id, time.monotonic() + self.timeout):
            if reply.progress is UNSET:
                return _result_of(reply)
            if on_progress is not None:
                on_progress(reply.progress)
        raise CommandFailed(
            ErrorCode.TIMEOUT, f"{command} is not done after {self.timeout:g} s; the master goes on with it"
        )

    def events(self, follow: bool = False) -> Iterator[dict[str, Any]]:
        """The events the master remembers; with `follow` every one from the moment this returns.

        Following ends when the iterator is closed, or with `CommandFailed` (code `stopping`)
        or `NoMaster` when the master ends. Other calls are not possible in between.
        """
        if not follow:
            return iter(self.call("events"))
        self.connect()
        id = self._send("events", {"follow": True})
        # Wait for the first sign of life: from then on nothing is missed.
        for reply in self._messages(id, time.monotonic() + self.timeout):
            if reply.progress is UNSET:
                return iter(_result_of(reply))
            return self._follow(id)
        raise CommandFailed(ErrorCode.TIMEOUT, f"events: no answer after {self.timeout:g} s")

    def _follow(self, id: str) -> Iterator[dict[str, Any]]:
        try:
            for reply in self._messages(id, None):
                if reply.progress is UNSET:
                    _result_of(reply)
                    return
                if reply.progress.get("event") != ALIVE:
                    yield reply.progress
        finally:
            if not self._context.closed:
                self._post(Request("cancel", id))

    # ----------------------------------------------------------------- the wire

    def _send(self, command: str, args: dict[str, Any]) -> str:
        id = str(next(self._ids))
        self._post(Request(command, id, args))
        return id

    def _post(self, request: Request) -> None:
        try:
            frame = protocol.encode(request)
        except (TypeError, ValueError, OverflowError) as error:
            raise BadUsage(ErrorCode.BAD_ARGUMENTS, f"{request.command}: cannot be sent: {error}") from None
        try:
            self._socket.send(frame, zmq.DONTWAIT)
        except zmq.Again:
            raise NoMaster(explain_silence(self.address)) from None

    def _messages(self, id: str, deadline: float | None) -> Iterator[Reply]:
        """The messages that belong to `id`, until `deadline`; raises `NoMaster` if the master goes away."""
        silences = 0
        probes = set[str]()
        while (remaining := _PROBE_AFTER if deadline is None else deadline - time.monotonic()) > 0:
            reply = self._receive(min(remaining, _PROBE_AFTER))
            if reply is not None and reply.id == id:
                silences = 0
                yield reply
            elif reply is not None:
                silences = 0
                if reply.id in probes:
                    self._check_master(reply)
            elif remaining > _PROBE_AFTER or deadline is None:
                silences += 1
                if silences > _SILENCES:
                    raise NoMaster(f"the master at {self.address} went away or hangs")
                probes.add(self._send("ping", {}))

    def _receive(self, seconds: float) -> Reply | None:
        """The next message, or None after `seconds` or if it is none of ours."""
        if not self._socket.poll(max(1, int(seconds * 1000))):
            return None
        frames = self._socket.recv_multipart()
        self._heard = time.monotonic()
        try:
            return protocol.decode_reply(frames[-1])
        except (msgspec.MsgspecError, ValueError):
            return None

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._heard < _FRESH

    def _check_master(self, reply: Reply) -> None:
        """Raise `NoMaster` if a pong comes from another master than the one that was asked.

        ZeroMQ reconnects by itself, to whoever listens there now; that one does not know our question.
        """
        pid = _pid_in(reply)
        if pid is not None and self._master is not None and pid != self._master:
            raise NoMaster(f"the master at {self.address} was replaced before it answered")


def _key(key_file: str | None) -> ClusterKey | None:
    path = key_file or os.environ.get("QGSRV_CONTROL_KEY_FILE")
    try:
        return cluster_key.read(Path(path), "key file")[0] if path else None
    except StartError as error:
        raise BadUsage("bad_key", str(error)) from None


def _pid_in(pong: Reply) -> int | None:
    pid = pong.result.get("pid") if isinstance(pong.result, dict) else None
    return pid if isinstance(pid, int) else None


def _result_of(reply: Reply) -> Any:
    if reply.ok is True:
        return None if reply.result is UNSET else reply.result
    if isinstance(reply.error, protocol.ErrorBody):
        raise CommandFailed(reply.error.code, reply.error.message)
    raise CommandFailed(ErrorCode.FAILED, "the master's answer could not be understood")
