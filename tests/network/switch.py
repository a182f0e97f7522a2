# SPDX-License-Identifier: GPL-2.0-or-later
"""An Ethernet switch with bad cables: `python -m tests.network.switch`.

Each port is a TAP device, which the test gives to a host. Frames pass through this process, so it can lose
and delay them, in either direction of a cable, on every kernel; netem is missing in many. One order a line
on stdin, as JSON: {"port": "far1", "to": {"loss": 1.0}, "from": {"delay": 0.05, "loss": 0.02}}. The first
for a port makes its device; so does one with "plug": true, for a host that is another one than before.
"""

from __future__ import annotations

import fcntl
import heapq
import itertools
import json
import os
import random
import selectors
import struct
import sys
import time
from dataclasses import dataclass, field

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_FRAME = 65536
_BATCH = 64


@dataclass
class Cable:
    """One direction: `loss` of the frames (0 to 1), `delay` in seconds."""

    loss: float = 0.0
    delay: float = 0.0


@dataclass
class Port:
    """A host's device. `sends`: from the host; `takes`: to it."""

    name: str
    fd: int
    sends: Cable = field(default_factory=Cable)
    takes: Cable = field(default_factory=Cable)


def open_tap(name: str) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TAP | _IFF_NO_PI))
    return fd


class Switch:
    """Passes frames on until stdin ends."""

    def __init__(self) -> None:
        self.ports: dict[str, Port] = {}
        self.selector = selectors.DefaultSelector()
        self.where: dict[bytes, Port] = {}
        self.under_way: list[tuple[float, int, Port, bytes]] = []
        self.serial = itertools.count()
        self.orders = b""

    def run(self) -> None:
        self.selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in self.selector.select(self._patience()):
                if key.data is not None:
                    self._read(key.data)
                elif not self._obey():
                    return
            self._deliver()

    def _patience(self) -> float | None:
        return max(0.0, self.under_way[0][0] - time.monotonic()) if self.under_way else None

    def _obey(self) -> bool:
        data = os.read(sys.stdin.fileno(), 65536)
        *lines, self.orders = (self.orders + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            port = self._port(order["port"], plug=order.get("plug", False))
            port.takes, port.sends = Cable(**order["to"]), Cable(**order["from"])
            print("done", flush=True)
        return bool(data)

    def _port(self, name: str, *, plug: bool) -> Port:
        old = self.ports.get(name)
        if old is not None and not plug:
            return old
        if old is not None:
            self.selector.unregister(old.fd)
            os.close(old.fd)
            self.where = {address: port for address, port in self.where.items() if port is not old}
        port = self.ports[name] = Port(name, open_tap(name))
        self.selector.register(port.fd, selectors.EVENT_READ, port)
        return port

    def _read(self, port: Port) -> None:
        for _ in range(_BATCH):
            try:
                frame = os.read(port.fd, _FRAME)
            except (BlockingIOError, OSError):
                # Nothing more now, or the device is off or gone.
                return
            target, source = frame[:6], frame[6:12]
            self.where[source] = port
            known = self.where.get(target)
            for other in [known] if known else self.ports.values():
                if other is not port:
                    self._pass(port, other, frame)

    def _pass(self, source: Port, target: Port, frame: bytes) -> None:
        if any(random.random() < cable.loss for cable in (source.sends, target.takes)):
            return
        due = time.monotonic() + source.sends.delay + target.takes.delay
        heapq.heappush(self.under_way, (due, next(self.serial), target, frame))

    def _deliver(self) -> None:
        now = time.monotonic()
        while self.under_way and self.under_way[0][0] <= now:
            *_, port, frame = heapq.heappop(self.under_way)
            try:
                os.write(port.fd, frame)
            except OSError:
                # The device is down, or its queue is full: frames get lost, as on any cable.
                continue


if __name__ == "__main__":
    Switch().run()
