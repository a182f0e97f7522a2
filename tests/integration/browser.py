# SPDX-License-Identifier: GPL-2.0-or-later
"""Headless Chromium, driven by its DevTools protocol: for pages that never come to rest."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.integration.test_pages import CHROMIUM, FLAGS
from tests.waiting import wait_for


class Page:
    """One tab. `asked`: the addresses it has asked for; `said`: what its scripts complained of."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.create_task(self._read())
        self.asked: list[str] = []
        self.said: list[str] = []

    async def _read(self) -> None:
        while (text := await self._connection.read_message()) is not None:
            message = json.loads(text)
            if "id" in message:
                self._waiting.pop(message["id"]).set_result(message)
            elif message["method"] == "Network.requestWillBeSent":
                self.asked.append(message["params"]["request"]["url"])
            elif message["method"] == "Runtime.exceptionThrown":
                self.said.append(json.dumps(message["params"]["exceptionDetails"]))
            elif message["method"] == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
                self.said.append(json.dumps(message["params"]["entry"]))

    async def do(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._connection.write_message(json.dumps({"id": number, "method": method, "params": params}))
        message = await asyncio.wait_for(answer, 30)
        assert "result" in message, message
        return message["result"]

    async def js(self, expression: str) -> Any:
        """What the expression is, in the page."""
        told = await self.do("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def until(self, expression: str, seconds: float = 30.0) -> Any:
        """Wait until the expression is true in the page."""
        end = time.monotonic() + seconds
        while not (value := await self.js(expression)):
            assert time.monotonic() < end, f"not within {seconds:g} s: {expression}\n{self.said}"
            await asyncio.sleep(0.05)
        return value

    async def open(self, address: str) -> None:
        for domain in ("Page", "Runtime", "Network", "Log"):
            await self.do(f"{domain}.enable")
        await self.do("Page.navigate", url=address)

    async def size(self, width: int, height: int) -> None:
        await self.do(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    async def dark(self) -> None:
        feature = {"name": "prefers-color-scheme", "value": "dark"}
        await self.do("Emulation.setEmulatedMedia", features=[feature])

    async def picture(self, path: Path) -> None:
        told = await self.do("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(told["data"]))

    async def press(self, key: str, code: int) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            await self.do("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)


@contextlib.asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Page]:
    """A browser with one tab; it is gone afterwards."""
    profile = folder / "profile"
    line = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        told = profile / "DevToolsActivePort"
        port = wait_for("Chromium tells its port", lambda: told.exists() and told.read_text().split("\n")[0])
        answer = await AsyncHTTPClient().fetch(HTTPRequest(f"http://127.0.0.1:{port}/json"))
        (tab, *_) = [tab for tab in json.loads(answer.body) if tab["type"] == "page"]
        yield Page(await websocket_connect(tab["webSocketDebuggerUrl"], max_message_size=1 << 27))
    finally:
        process.terminate()
        process.wait(10)
