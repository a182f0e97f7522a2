# SPDX-License-Identifier: GPL-2.0-or-later
"""The socket pair between the master and each of its children.

A SEQPACKET pair of Unix sockets rather than ZeroMQ, for three things that ZeroMQ
cannot do: it hands over descriptors (the template needs them for a fork), its end
is noticed at once when either process dies, and it can be inherited by a fork.
Orders flow down, reports flow up, one message a packet.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
from collections.abc import Sequence

import msgspec

from qgsd import messages

CHANNEL_VARIABLE = "QGSD_CHANNEL"
_MAX_PACKET = 1 << 20
_MAX_DESCRIPTORS = 64
_BUFFER = 4 << 20


class ChannelClosed(Exception):
    """The process at the other end has gone."""


def pair() -> tuple[socket.socket, socket.socket]:
    """The master's and the child's end. The child's end must be inherited or passed explicitly."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
    return ends


def _send(end: socket.socket, packet: bytes, descriptors: Sequence[int] = ()) -> None:
    try:
        if descriptors:
            rights = array.array("i", descriptors)
            end.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        else:
            end.send(packet)
    except (BrokenPipeError, ConnectionResetError) as gone:
        raise ChannelClosed from gone


def _receive(end: socket.socket) -> tuple[bytes, list[int]]:
    try:
        packet, descriptors = _receive_once(end)
    except ConnectionResetError:
        # It comes once and first, when the other side went with orders unread; its last words come after.
        packet, descriptors = _receive_once(end)
    if not packet:
        _close_all(descriptors)
        raise ChannelClosed
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return packet, descriptors


def _receive_once(end: socket.socket) -> tuple[bytes, list[int]]:
    packet, descriptors, _flags, _address = socket.recv_fds(end, _MAX_PACKET, _MAX_DESCRIPTORS)
    return packet, descriptors


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


class MasterEnd:
    """The master's end: never blocks. A child that does not read its orders is lost anyway."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end

    def fileno(self) -> int:
        return self._end.fileno()

    def send(self, order: messages.Order, descriptors: Sequence[int] = ()) -> None:
        """Raises `ChannelClosed` when the child has gone or its buffer is full."""
        try:
            _send(self._end, messages.encode(order), descriptors)
        except BlockingIOError as full:
            raise ChannelClosed("the child does not read its orders") from full

    def receive(self) -> messages.Report | None:
        """The next report, None when there is none now. Raises `ChannelClosed`.

        A packet that is no report counts as the end: a child that talks nonsense is broken.
        """
        try:
            packet, descriptors = _receive(self._end)
        except BlockingIOError:
            return None
        _close_all(descriptors)
        try:
            report: messages.Report = messages.decode_report(packet)
        except (msgspec.MsgspecError, UnicodeDecodeError) as nonsense:
            raise ChannelClosed(f"a packet that is no report: {nonsense}") from nonsense
        return report

    def hang_up(self) -> None:
        """No more orders: to the child we have gone. Its own end is still noticed."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._end.close()


class ChildEnd:
    """The child's end: sending blocks shortly at most, receiving waits or not as asked."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(True)
        self._end = end

    @classmethod
    def inherited(cls, environ: dict[str, str] | os._Environ[str] = os.environ) -> ChildEnd:
        """The end whose descriptor the master named in the environment. KeyError without one."""
        descriptor = int(environ.pop(CHANNEL_VARIABLE))
        os.set_inheritable(descriptor, False)
        return cls(socket.socket(fileno=descriptor))

    def fileno(self) -> int:
        return self._end.fileno()

    def send(self, report: messages.Report) -> None:
        """Raises `ChannelClosed` when the master has gone."""
        _send(self._end, messages.encode(report))

    def receive(self, *, wait: bool = True) -> tuple[messages.Order, list[int]] | None:
        """The next order and the descriptors that came with it; None when there is none and not `wait`."""
        self._end.setblocking(wait)
        try:
            packet, descriptors = _receive(self._end)
        except BlockingIOError:
            return None
        finally:
            self._end.setblocking(True)
        return messages.decode_order(packet), descriptors

    def close(self) -> None:
        self._end.close()
