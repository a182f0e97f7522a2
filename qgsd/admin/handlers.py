# SPDX-License-Identifier: GPL-2.0-or-later
"""What every answer of the management port has in common: who may, headers, errors."""

from __future__ import annotations

import logging
import re
import secrets
import socket
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec
from tornado.web import RequestHandler

from qgsd.admin import access
from qgsd.admin.access import Caller, Denied
from qgsd.admin.link import MasterLink
from qgsd.config import Settings
from qgsd.control import ControlError, NoMaster

logger = logging.getLogger("qgsd.admin")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Server": "qgsd",
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# What the master refuses with, as HTTP has it; other refusals are conflicts with how things are.
_STATUS = {
    "bad_arguments": 400, "bad_request": 400, "bad_number": 400, "bad_project": 400, "bad_option": 400,
    "not_live": 409, "unknown_command": 404, "no_such_child": 404, "no_project": 404, "not_open": 404,
    "no_master": 503, "busy": 503, "stopping": 503, "draining": 503, "timeout": 504, "failed": 500,
}  # fmt: skip


@dataclass
class AdminContext:
    """What the handlers share: the settings of the moment, the way to the master, who is being answered."""

    settings: Settings
    link: MasterLink
    leaving: bool = False
    busy: set[AdminHandler] = field(default_factory=set)


def _is_local(connection: Any) -> bool:
    """Whether only this machine can have made the connection."""
    stream = getattr(connection, "stream", None)
    if stream is None or stream.socket is None:
        return False
    if stream.socket.family == socket.AF_UNIX:
        return True
    try:
        host: str = stream.socket.getsockname()[0]
    except OSError:
        return False
    return host == "::1" or host.removeprefix("::ffff:").startswith("127.")


class AdminHandler(RequestHandler):
    """A handler of the management port. `guarded`: what it answers is not for everybody."""

    methods: tuple[str, ...] = ("GET", "HEAD")
    guarded = True
    context: AdminContext
    request_id: str

    def initialize(self, context: AdminContext) -> None:
        self.context = context
        given = self.request.headers.get("X-Request-Id", "")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        self.set_header("X-Request-Id", self.request_id)

    def set_default_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.set_header(name, value)

    @property
    def token(self) -> str:
        return self.context.settings.management.token

    @property
    def caller(self) -> Caller:
        headers = self.request.headers
        local = _is_local(self.request.connection)
        return Caller(local, headers.get("Host", ""), headers.get("Authorization", ""))

    def prepare(self) -> None:
        self.context.busy.add(self)
        if self.context.leaving:
            self.set_header("Connection", "close")
        try:
            if self.guarded:
                access.check_reading(self.caller, self.token)
            if self.request.method not in self.methods:
                allow = ", ".join(self.methods)
                raise Denied(405, "method_not_allowed", f"this address answers {allow}", allow)
        except Denied as denied:
            self.refuse(denied)

    def on_finish(self) -> None:
        self.context.busy.discard(self)

    def on_connection_close(self) -> None:
        self.context.busy.discard(self)

    # Answers.

    def answer(self, result: Any) -> None:
        """A result, as JSON."""
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(result) + b"\n")

    def refuse(self, denied: Denied) -> None:
        self.set_status(denied.status, HTTPStatus(denied.status).phrase)
        # Tornado clears all headers before it reports an error.
        self.set_header("X-Request-Id", self.request_id)
        self.set_header("Content-Type", "application/json")
        if denied.status == 401:
            self.set_header("WWW-Authenticate", 'Bearer realm="qgsd"')
        if denied.status == 503:
            self.set_header("Retry-After", "1")
        if denied.allow:
            self.set_header("Allow", denied.allow)
        told = {"code": denied.code, "message": denied.message.encode(errors="replace").decode()}
        self.finish(msgspec.json.encode({"error": told, "request_id": self.request_id}) + b"\n")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Also bugs and tornado's own errors: a clear word for the client, the traceback for the log only."""
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, Denied):
            self.refuse(error)
        elif isinstance(error, ControlError):
            self.refuse(denied_by_master(error))
        else:
            phrase = HTTPStatus(status_code).phrase
            self.refuse(Denied(status_code, phrase.lower().replace(" ", "_"), phrase))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if not isinstance(value, Denied | ControlError):
            super().log_exception(typ, value, tb)


def denied_by_master(error: ControlError) -> Denied:
    """The master's refusal as an answer."""
    status = 503 if isinstance(error, NoMaster) else _STATUS.get(str(error.code), 409)
    return Denied(status, str(error.code), error.message)
