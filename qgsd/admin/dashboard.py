# SPDX-License-Identifier: GPL-2.0-or-later
"""`/status`: the dashboard. The page itself tells nothing; what it shows comes by `/status/stream`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import url as route

from qgsd.admin.access import Denied, check_reading
from qgsd.admin.handlers import AdminContext, AdminHandler
from qgsd.admin.live import Live

_STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
# A proxy in between may cut a connection on which nothing comes.
_ALIVE = 15.0


def _files() -> dict[str, tuple[str, bytes]]:
    found = [path for path in _STATIC.rglob("*") if path.suffix in _TYPES]
    return {str(path.relative_to(_STATIC)): (_TYPES[path.suffix], path.read_bytes()) for path in found}


class FileHandler(AdminHandler):
    """The files of the page, the same for everybody."""

    guarded = False
    files = _files()

    def get(self, name: str) -> None:
        if name not in self.files:
            raise Denied(404, "not_found", f"there is no file {name}")
        content_type, body = self.files[name]
        self.set_header("Content-Type", content_type)
        self.set_header("Cache-Control", "no-cache")
        self.finish(body)

    head = get


class StatusHandler(AdminHandler):
    """The dashboard for browsers; for programs that accept nothing but JSON the status of the instance."""

    guarded = False

    async def get(self) -> None:
        accepted = self.request.headers.get("Accept", "")
        self.set_header("Vary", "Accept")
        if "application/json" in accepted and "text/html" not in accepted:
            check_reading(self.caller, self.token)
            self.answer(await self.context.link.look("status"))
            return
        content_type, body = FileHandler.files["status.html"]
        self.set_header("Content-Type", content_type)
        self.finish(body)

    head = get


class StreamHandler(AdminHandler):
    """Server-sent events: history, then states and events as they come."""

    methods = ("GET",)

    def initialize(self, context: AdminContext, live: Live) -> None:  # type: ignore[override]
        super().initialize(context)
        self.live = live

    async def get(self) -> None:
        if self.live.full or self.context.leaving:
            raise Denied(503, "busy", "too many look already; try again later")
        # It has no end, so nobody waits for that.
        self.context.busy.discard(self)
        self.set_header("Content-Type", "text/event-stream")
        viewer = self.live.join()
        try:
            while True:
                try:
                    message = await asyncio.wait_for(viewer.get(), _ALIVE)
                except TimeoutError:
                    message = b": alive\n\n"
                if message is None:
                    return
                self.write(message)
                await self.flush()
        except StreamClosedError:
            return
        finally:
            self.live.leave(viewer)


def dashboard_routes(context: AdminContext, live: Live) -> list[Any]:
    shared = {"context": context}
    return [
        route(r"/status/?", StatusHandler, shared),
        route(r"/status/stream", StreamHandler, shared | {"live": live}),
        route(r"/static/(.+)", FileHandler, shared),
    ]
