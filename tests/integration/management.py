# SPDX-License-Identifier: GPL-2.0-or-later
"""Asking the management port of an instance."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping
from typing import Any

from tests.integration.instance import Answer, Instance
from tests.waiting import wait_for

TOKEN = "correct-horse-battery-staple"
ON = ("--set", "management.enabled=yes", "--set", "management.port=0")


def management_port(instance: Instance) -> int:
    def found() -> int:
        match = re.search(r"management port is \S*?:(\d+)", instance.log_text)
        return int(match[1]) if match else 0

    return wait_for("the management port is told", found)


def ask(
    instance: Instance,
    target: str,
    method: str = "GET",
    body: Any = None,
    *,
    token: str = "",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Ask the management port; `body` is sent as JSON."""
    sent = dict(headers or {}) | ({"Authorization": f"Bearer {token}"} if token else {})
    connection = http.client.HTTPConnection("127.0.0.1", management_port(instance), timeout=60)
    try:
        connection.request(method, target, None if body is None else json.dumps(body), sent)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def error_of(answer: Answer) -> str:
    told = answer.json()
    assert set(told) == {"error", "request_id"}
    assert answer.headers["X-Request-Id"] == told["request_id"]
    assert set(told["error"]) == {"code", "message"}
    return str(told["error"]["code"])
