# SPDX-License-Identifier: GPL-2.0-or-later
"""A crowd in a process of its own: idle and slow clients that hold connections until they are told to go.

`python -m tests.integration.crowding PORT IDLE SLOW SLOW_TARGET` writes `ready` when all are connected, ends
when its input ends, and writes as JSON what has become of them.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
from dataclasses import asdict, dataclass
from types import TracebackType

_PING = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
_BODY = b"POST /ows/?MAP=world HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
_PAUSE = 0.5
_AT_ONCE = 50


@dataclass
class Fate:
    """How many were `connected`, `refused` a connection or an answer, and cut off early."""

    connected: int = 0
    refused: int = 0
    cut: int = 0


class Crowd:
    """To be entered; `fate` is there behind it."""

    def __init__(self, port: int, idle: int, slow: int, target: str) -> None:
        line = [sys.executable, "-m", "tests.integration.crowding", str(port), str(idle), str(slow), target]
        self._process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.fate = Fate()

    def __enter__(self) -> Crowd:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        told, _ = self._process.communicate(timeout=60)
        self.fate = Fate(**json.loads(told))


async def _connect(
    port: int, fate: Fate, window: int | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    try:
        streams = await asyncio.open_connection("127.0.0.1", port, limit=window or 65536)
    except OSError:
        fate.refused += 1
        return None
    fate.connected += 1
    return streams


async def _idle(number: int, port: int, fate: Fate, there: asyncio.Event, over: asyncio.Event) -> None:
    """Every second one has asked something before it falls silent."""
    streams = await _connect(port, fate)
    there.set()
    if streams is None:
        return
    reader, writer = streams
    if number % 2:
        writer.write(_PING)
        head = await reader.readuntil(b"\r\n\r\n")
        fate.refused += not head.startswith(b"HTTP/1.1 200")
        await reader.read(1000)
    await _hold(reader, fate, over)
    writer.transport.abort()


async def _slow(
    number: int, port: int, target: str, fate: Fate, there: asyncio.Event, over: asyncio.Event
) -> None:
    """One sends its head byte by byte, one its body, one hardly takes its answer."""
    streams = await _connect(port, fate, 1024)
    there.set()
    if streams is None:
        return
    reader, writer = streams
    kind = number % 3
    writer.write([b"G", _BODY, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()][kind])
    while not over.is_set():
        await asyncio.sleep(_PAUSE)
        if kind == 2:
            if not await reader.read(10):
                break
        else:
            writer.write(b"E" if kind == 0 else b"x")
            if reader._buffer or reader.at_eof():  # type: ignore[attr-defined]
                break
    fate.cut += not over.is_set()
    writer.transport.abort()


async def _hold(reader: asyncio.StreamReader, fate: Fate, over: asyncio.Event) -> None:
    closed = asyncio.ensure_future(reader.read(1))
    ended = asyncio.ensure_future(over.wait())
    await asyncio.wait([closed, ended], return_when=asyncio.FIRST_COMPLETED)
    fate.cut += not over.is_set()
    closed.cancel()
    ended.cancel()


async def _main(port: int, idle: int, slow: int, target: str) -> None:
    fate, over = Fate(), asyncio.Event()
    tasks = []
    for number in range(idle + slow):
        there = asyncio.Event()
        if number < idle:
            tasks.append(asyncio.create_task(_idle(number, port, fate, there, over)))
        else:
            tasks.append(asyncio.create_task(_slow(number, port, target, fate, there, over)))
        if number % _AT_ONCE == 0:
            await there.wait()
    while fate.connected + fate.refused < idle + slow:
        await asyncio.sleep(0.05)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    over.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(asdict(fate)))


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
