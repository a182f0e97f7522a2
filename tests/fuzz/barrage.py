# SPDX-License-Identifier: GPL-2.0-or-later
"""Many requests at once, as bytes, and what comes back of them."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

AT_ONCE = 64
# Beyond what the server gives a client to send its request, and a request to run.
_PATIENCE = 20.0
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [ -~]*\r\n")
_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n")
_ID = re.compile(rb"\r\nX-Request-Id: ([!-~]+)\r\n")
_CONTINUE = b"HTTP/1.1 100 (Continue)\r\n\r\n"
# What no client may see of the inside.
_INSIDE = re.compile(rb'Traceback \(most|File "/|\.py", line ')


@dataclass
class Findings:
    """Answers by status, ids of answers 5xx with what they say, and all that is wrong, with its request."""

    statuses: Counter[int] = field(default_factory=Counter)
    failed: dict[str, bytes] = field(default_factory=dict)
    silent: int = 0
    wrong: list[tuple[str, bytes, bytes]] = field(default_factory=list)

    def judge(self, request: bytes, answer: bytes) -> None:
        answer = answer.removeprefix(_CONTINUE)
        if not answer:
            self.silent += 1
            return
        status, id = _STATUS.match(answer), _ID.search(answer)
        if status is None or id is None:
            self.wrong.append(("no answer of HTTP, or one without an id", request, answer))
            return
        if _INSIDE.search(answer):
            self.wrong.append(("shows the inside", request, answer))
        self.statuses[int(status[1])] += 1
        if status[1] >= b"500":
            self.failed[id[1].decode()] = request


def is_whole(request: bytes, answer: bytes) -> bool:
    """As far as this can be told without reading HTTP in full."""
    answer = answer.removeprefix(_CONTINUE)
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    status = _STATUS.match(answer)
    if request.lstrip().startswith(b"HEAD ") or (status and status[1] in (b"204", b"304")):
        return True
    length = _LENGTH.search(head + b"\r\n")
    return len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")


async def _ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        writer.write(request)
        async with asyncio.timeout(_PATIENCE):
            while not is_whole(request, answer) and (piece := await reader.read(1 << 16)):
                answer += piece
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return answer


async def _client(port: int, requests: Iterator[bytes], findings: Findings) -> None:
    for request in requests:
        try:
            findings.judge(request, await _ask(port, request))
        except TimeoutError:
            findings.wrong.append(("no answer, and no end of the connection", request, b""))


def barrage(port: int, requests: Iterable[bytes], findings: Findings) -> None:
    """Send all of them and note what is answered. OSError when the port does not take connections."""

    async def all_clients() -> None:
        shared = iter(requests)
        await asyncio.gather(*(_client(port, shared, findings) for _ in range(AT_ONCE)))

    asyncio.run(all_clients())
