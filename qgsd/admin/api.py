# SPDX-License-Identifier: GPL-2.0-or-later
"""`/api/COMMAND`: the control commands as REST.

GET for those that look, POST with their arguments as a JSON object for those that change something.
Arguments, results and refusals are the master's own (`qgsd.control.protocol`): nothing is checked twice.
"""

from __future__ import annotations

from typing import Any

import msgspec
from tornado.web import url as route

from qgsd.admin import access
from qgsd.admin.access import Denied
from qgsd.admin.handlers import AdminContext, AdminHandler

LOOKING = (
    "status", "ps", "top", "projects", "plugins", "queue", "quarantine", "events", "config", "ping",
    "version",
)  # fmt: skip
CHANGING = (
    "scale", "reload", "load", "evict", "pin", "hold", "release", "purge", "restart", "drain", "stop", "kill",
    "quarantine", "set", "log-level",
)  # fmt: skip


class ApiHandler(AdminHandler):
    """One command."""

    methods = ("GET", "HEAD", "POST")

    def prepare(self) -> None:
        if self.request.method == "POST":
            # Before anything is told of what there is.
            try:
                access.check_changing(self.caller, self.token)
            except Denied as denied:
                self.refuse(denied)
                return
        super().prepare()

    async def get(self, command: str) -> None:
        if command not in LOOKING:
            raise _unknown(command)
        self.answer(await self.context.link.look(command))

    head = get

    async def post(self, command: str) -> None:
        if command not in CHANGING:
            raise _unknown(command)
        self.answer(await self.context.link.change(command, self._arguments()))

    def _arguments(self) -> dict[str, Any]:
        if not self.request.body.strip():
            return {}
        try:
            return msgspec.json.decode(self.request.body, type=dict[str, Any])
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise Denied(400, "bad_request", f"the body must be one JSON object: {error}") from None


def _unknown(command: str) -> Denied:
    methods = ["GET, HEAD"] * (command in LOOKING) + ["POST"] * (command in CHANGING)
    if methods:
        return Denied(405, "method_not_allowed", f"/api/{command} answers {methods[0]}", methods[0])
    return Denied(404, "unknown_command", f"there is no command '{command}'; /api/ lists them")


class ApiIndexHandler(AdminHandler):
    """What there is."""

    def get(self) -> None:
        looking = [{"command": name, "method": "GET", "href": f"/api/{name}"} for name in LOOKING]
        changing = [{"command": name, "method": "POST", "href": f"/api/{name}"} for name in CHANGING]
        self.answer({"commands": looking + changing, "read_only": not self.token})

    head = get


def api_routes(context: AdminContext) -> list[Any]:
    shared = {"context": context}
    return [route(r"/api/?", ApiIndexHandler, shared), route(r"/api/([a-z-]+)", ApiHandler, shared)]
