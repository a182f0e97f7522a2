# SPDX-License-Identifier: GPL-2.0-or-later
"""Sending and receiving messages of several frames.

pyzmq's send_multipart and recv_multipart do the same in 9 and 8 µs for three frames, where this takes 3 each:
they check every frame's type and compute with enumerations. A request passes eight of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import zmq

_MORE = int(zmq.SNDMORE)
_NOW = int(zmq.NOBLOCK)


def send(socket: zmq.Socket[bytes], frames: Sequence[bytes | zmq.Frame]) -> None:
    """Send a message; bytes are copied, frames that were received are passed on without.

    Raises `zmq.ZMQError`, of a ROUTER also when the peer named in the first frame has gone.
    """
    one = socket.send
    for frame in frames[:-1]:
        one(frame, _MORE, isinstance(frame, bytes))
    one(frames[-1], 0, isinstance(frames[-1], bytes))


def receive(socket: zmq.Socket[bytes]) -> list[zmq.Frame] | None:
    """The next message, None when there is none now."""
    try:
        frame = socket.recv(_NOW, False)
    except zmq.Again:
        return None
    frames = [frame]
    while frame.more:
        # Messages arrive whole.
        frame = socket.recv(0, False)
        frames.append(frame)
    return frames
