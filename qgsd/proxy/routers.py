# SPDX-License-Identifier: GPL-2.0-or-later
"""The dispatcher's ZeroMQ sockets: how they are set up, and on what they are bound."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import zmq

from qgsd.cluster_key import ClusterKey, lock
from qgsd.heartbeats import set_heartbeats


def make(context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
    """A ROUTER that never drops silently: an unknown peer is an error."""
    router = context.socket(zmq.ROUTER)
    router.setsockopt(zmq.ROUTER_MANDATORY, 1)
    # A high-water mark would drop pieces of an answer; memory is bounded by the http child's reading.
    router.setsockopt(zmq.SNDHWM, 0)
    router.setsockopt(zmq.RCVHWM, 0)
    router.setsockopt(zmq.LINGER, 2000)
    set_heartbeats(router, near=True)
    return router


def bind(
    router: zmq.Socket[bytes], listeners: Iterable[tuple[str, int]], keys: Sequence[ClusterKey] = ()
) -> None:
    """To sockets that listen already; other machines need a key, if there is one."""
    # Options count for what is bound after them: Unix sockets first, which file modes protect.
    for address, descriptor in sorted(listeners, key=lambda one: one[0].startswith("tcp:")):
        if address.startswith("tcp:"):
            set_heartbeats(router, near=False)
            if keys:
                lock(router, keys[0])
        router.setsockopt(zmq.USE_FD, descriptor)
        router.bind(address)
