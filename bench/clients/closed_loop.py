# SPDX-License-Identifier: GPL-2.0-or-later
"""A load generator in a process of its own: `python closed_loop.py HOST:PORT < load.json > results.json`.

Each connection sends its next request when its last one has been answered. One thread, plain sockets: a
request costs it some 40 µs, so that it is not what is measured. Bodies are checked by length and CRC-32.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
import zlib
from typing import Any

_MOST_TOLD = 5


class Stream:
    """One list of requests, shared by its connections, and what came of them."""

    def __init__(self, spec: dict[str, Any], host: str) -> None:
        self.requests = [_encoded(one, host) for one in spec["requests"]]
        self.expected = [(one["status"], one["expected"]) for one in spec["requests"]]
        self.next = 0
        self.seconds: list[float] = []
        self.first_byte: list[float] = []
        self.failed = 0
        self.wrong: list[str] = []

    def take(self) -> int:
        number = self.next % len(self.requests)
        self.next += 1
        return number

    def judge(self, number: int, status: int, length: int, crc: int) -> None:
        wanted, body = self.expected[number]
        if status == wanted and (body is None or list(body) == [length, crc]):
            return
        self.fail(f"{status}, {length} bytes for {self.requests[number][:200]!r}")

    def fail(self, reason: str) -> None:
        self.failed += 1
        if len(self.wrong) < _MOST_TOLD:
            self.wrong.append(reason)

    def result(self, took: float) -> dict[str, Any]:
        return {
            "took": took, "seconds": self.seconds, "first_byte": self.first_byte, "failed": self.failed,
            "wrong": self.wrong, "answers": len(self.seconds),
        }  # fmt: skip


def _encoded(one: dict[str, Any], host: str) -> bytes:
    lines = [f"GET {one['path']} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in one["headers"]]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Connection:
    """A client: it reconnects when the server closes."""

    def __init__(self, address: tuple[str, int], stream: Stream, selector: selectors.BaseSelector) -> None:
        self.address = address
        self.stream = stream
        self.selector = selector
        self.socket: socket.socket | None = None
        self.ask()

    def ask(self) -> None:
        if self.socket is None:
            self.socket = socket.create_connection(self.address)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.selector.register(self.socket, selectors.EVENT_READ, self)
        self.number = self.stream.take()
        self.head = b""
        self.length = self.crc = 0
        self.left: int | None = None
        self.chunks: Chunks | None = None
        self.arrived = 0.0
        self.began = time.perf_counter()
        self.socket.sendall(self.stream.requests[self.number])

    def drop(self) -> None:
        if self.socket is not None:
            self.selector.unregister(self.socket)
            self.socket.close()
            self.socket = None

    def receive(self) -> bool:
        """Whether the answer is complete."""
        assert self.socket is not None
        try:
            data = self.socket.recv(262144)
        except OSError:
            data = b""
        if not self.arrived:
            self.arrived = time.perf_counter()
        if not data:
            self.drop()
            if self.left is None and self.head == b"" and self.length:
                # No length was given: the end of the connection is the end of the answer.
                return self._over()
            return self._broken()
        return self._take(data)

    def _take(self, data: bytes) -> bool:
        if self.left is None and self.chunks is None and not self.length:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return False
            data, head = self.head[end + 4 :], self.head[:end].lower()
            self.head = b""
            self.status = int(head[9:12])
            self.closes = b"\r\nconnection: close" in head
            if b"\r\ntransfer-encoding: chunked" in head:
                self.chunks = Chunks()
            else:
                at = head.find(b"\r\ncontent-length:")
                if at >= 0:
                    self.left = int(head[at + 17 :].split(b"\r\n", 1)[0])
                elif self.status in (204, 304):
                    self.left = 0
        if self.chunks is not None:
            for piece in self.chunks.feed(data):
                self._count(piece)
            return self._over() if self.chunks.done else False
        self._count(data)
        return self._over() if self.left is not None and self.length >= self.left else False

    def _count(self, data: bytes) -> None:
        self.length += len(data)
        self.crc = zlib.crc32(data, self.crc)

    def _over(self) -> bool:
        self._note()
        self.stream.judge(self.number, self.status, self.length, self.crc)
        if self.closes:
            self.drop()
        return True

    def _broken(self) -> bool:
        self._note()
        self.stream.fail(f"the connection broke after {self.length} bytes")
        return True

    def _note(self) -> None:
        self.stream.seconds.append(time.perf_counter() - self.began)
        self.stream.first_byte.append(self.arrived - self.began)


class Chunks:
    """Reads the chunked transfer coding (RFC 9112, 7.1)."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.want = -1
        self.done = False

    def feed(self, data: bytes) -> list[bytes]:
        self.buffer += data
        pieces = []
        while not self.done:
            if self.want < 0:
                end = self.buffer.find(b"\r\n")
                if end < 0:
                    break
                self.want = int(bytes(self.buffer[:end]).split(b";")[0], 16)
                del self.buffer[: end + 2]
            if self.want == 0:
                self.done = b"\r\n" in self.buffer
                break
            if len(self.buffer) < self.want + 2:
                break
            pieces.append(bytes(self.buffer[: self.want]))
            del self.buffer[: self.want + 2]
            self.want = -1
        return pieces


def run(address: tuple[str, int], host: str, load: dict[str, Any]) -> list[dict[str, Any]]:
    """Ask until the time is over or the count is reached; answers that are under way then do not count."""
    streams = [Stream(spec, host) for spec in load["streams"]]
    began = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        clients = [
            Connection(address, stream, selector)
            for stream, spec in zip(streams, load["streams"], strict=True)
            for _ in range(spec["connections"])
        ]
        until, count = began + load["seconds"], load["count"]
        while (now := time.perf_counter()) < until:
            for key, _ in selector.select(until - now):
                if key.data.receive() and not (count and len(streams[0].seconds) >= count):
                    key.data.ask()
            if count and len(streams[0].seconds) >= count:
                break
        took = time.perf_counter() - began
        for client in clients:
            client.drop()
    return [stream.result(took) for stream in streams]


if __name__ == "__main__":
    name, _, port = sys.argv[1].rpartition(":")
    json.dump(run((name, int(port)), sys.argv[2], json.load(sys.stdin)), sys.stdout)
