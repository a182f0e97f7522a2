# SPDX-License-Identifier: GPL-2.0-or-later
"""How ZeroMQ notices that the other end of a connection has gone without a word."""

from __future__ import annotations

import zmq


def set_heartbeats(socket: zmq.Socket[bytes], *, near: bool) -> None:
    """For what the socket binds and connects to from now on.

    Of another machine (not `near`) it is known within 3.5 seconds that it is dead or cut off: the time to the
    next heartbeat and that for its answer, in which TCP can try four times on a network that loses packets.
    On the same machine the kernel tells when a process ends; there a heartbeat is for one that hangs.
    """
    socket.setsockopt(zmq.HEARTBEAT_IVL, 2000 if near else 1000)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 5000 if near else 2500)
    if not near:
        # One that no longer hears us says so in vain and goes silent only then; what it has not acknowledged
        # tells earlier.
        socket.setsockopt(zmq.TCP_MAXRT, 2500)
        # A connection that is cut off while it is made is given up and tried anew: by default after two
        # minutes (connecting) and half a minute (shaking hands).
        socket.setsockopt(zmq.CONNECT_TIMEOUT, 2000)
        socket.setsockopt(zmq.HANDSHAKE_IVL, 5000)
