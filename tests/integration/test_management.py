# SPDX-License-Identifier: GPL-2.0-or-later
"""The management port: who may do what there, and that nothing depends on the child that serves it."""

from __future__ import annotations

import http.client
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.integration.instance import GET_MAP, Crowd, Instance, ows_path
from tests.integration.management import ON, TOKEN, ask, error_of, management_port
from tests.waiting import wait_for

# The child.


def test_the_admin_child_is_one_of_the_children(managed: Instance) -> None:
    (row,) = [row for row in managed.ctl_json("ps") if row["role"] == "admin"]
    assert (row["slot"], row["state"]) == (None, "idle")
    assert managed.child("admin").cmdline()[0].startswith("qgsd: admin")


def test_nobody_notices_that_it_is_killed(managed: Instance) -> None:
    before = {row["pid"] for row in managed.ctl_json("ps") if row["role"] != "admin"}
    victim = managed.child("admin")
    with Crowd(managed, 2, ows_path(**GET_MAP)) as crowd:
        crowd.wait_answers(3)
        victim.send_signal(signal.SIGKILL)
        # The listening socket is the master's: who connects in between waits and is answered.
        assert ask(managed, "/api/ping").json()["pong"] is True
        crowd.wait_answers(3)
    assert crowd.bad == []
    assert managed.child("admin").pid != victim.pid
    assert {row["pid"] for row in managed.ctl_json("ps") if row["role"] != "admin"} == before
    assert managed.ctl_json("status")["counters"]["crashes"] == 1


def test_a_restart_asked_for_there_is_answered_when_it_is_done(managed: Instance) -> None:
    generation = managed.ctl_json("status")["generation"]
    old = managed.child("admin").pid
    answer = ask(managed, "/api/restart", "POST", token=TOKEN)
    assert (answer.status, answer.json()) == (200, {"generation": generation + 1})
    wait_for("the old one has gone", lambda: managed.child("admin").pid != old)


# Who may.


def test_looking_needs_no_token_on_this_machine(managed: Instance) -> None:
    answer = ask(managed, "/api/status")
    assert (answer.status, answer.json()["state"]) == (200, "running")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Server"] == "qgsd"


@pytest.mark.parametrize("sent", ["", "wrong", TOKEN[:-1], TOKEN + "x"])
def test_changing_needs_the_token(managed: Instance, sent: str) -> None:
    answer = ask(managed, "/api/scale", "POST", {"workers": 1}, token=sent)
    assert (answer.status, error_of(answer)) == (401, "token_needed")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert managed.ctl_json("status")["workers"]["target"] == 2


def test_changing_with_the_token(managed: Instance) -> None:
    answer = ask(managed, "/api/scale", "POST", {"workers": "+1"}, token=TOKEN)
    assert (answer.status, answer.json()["ready"]) == (200, 3)
    answer = ask(managed, "/api/scale", "POST", {"workers": 2}, token=TOKEN)
    assert (answer.status, answer.json()["ready"]) == (200, 2)


@pytest.mark.parametrize(
    ("target", "method", "body", "status", "code"),
    [
        ("/api/scale", "POST", {"workers": "many"}, 400, "bad_arguments"),
        ("/api/scale", "POST", [1], 400, "bad_request"),
        ("/api/kill", "POST", {"target": 77}, 404, "no_such_child"),
        ("/api/load", "POST", {"project": "../etc"}, 400, "bad_project"),
        ("/api/scale", "GET", None, 405, "method_not_allowed"),
        ("/api/status", "POST", None, 405, "method_not_allowed"),
        ("/api/sing", "GET", None, 404, "unknown_command"),
        ("/elsewhere", "GET", None, 404, "not_found"),
    ],
)
def test_refusals(managed: Instance, target: str, method: str, body: Any, status: int, code: str) -> None:
    answer = ask(managed, target, method, body, token=TOKEN)
    assert (answer.status, error_of(answer)) == (status, code)


def test_a_name_of_somebody_else_is_not_ours(managed: Instance) -> None:
    assert ask(managed, "/api/status", headers={"Host": "evil.example"}).status == 421
    assert ask(managed, "/api/status", headers={"Host": "evil.example"}, token=TOKEN).status == 200


def test_the_token_is_told_nowhere(managed: Instance) -> None:
    said = [ask(managed, f"/api/{name}").text for name in ("config", "events", "status", "ps")]
    assert TOKEN not in "".join([*said, managed.ctl("config").stdout, managed.log_text])


# Other machines, and mistakes.


def test_other_machines_must_send_the_token_for_anything(launch: Any, projects: Path) -> None:
    own = _address_of_this_machine()
    secret = ("--set", f"management.token={TOKEN}", "--set", "management.interfaces=0.0.0.0")
    instance = launch("--rootdir", str(projects), "-w", "1", *ON, *secret)
    port = management_port(instance)

    def status(token: str) -> int:
        connection = http.client.HTTPConnection(own, port, timeout=60)
        connection.request("GET", "/api/status", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status

    assert (status("wrong"), status(TOKEN)) == (401, 200)
    assert ask(instance, "/api/status").status == 200
    assert "***" in instance.ctl("config").stdout
    assert TOKEN not in instance.ctl("config").stdout


def _address_of_this_machine() -> str:
    """An address that is not loopback; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(probe.getsockname()[0])


def test_without_a_token_it_is_read_only(launch: Any, projects: Path) -> None:
    instance = launch("--rootdir", str(projects), "-w", "1", *ON)
    answer = ask(instance, "/api/scale", "POST", {"workers": 1}, token="guess")
    assert (answer.status, error_of(answer)) == (403, "read_only")
    assert ask(instance, "/api/").json()["read_only"] is True


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("management.token_file=/nonexistent/token",), "token_file: /nonexistent/token cannot be read"),
        (("management.ssl=yes",), "[management] ssl=yes needs ssl_cert"),
    ],
)
def test_mistakes_are_told_at_the_start(
    launch: Any, projects: Path, options: tuple[str, ...], reason: str
) -> None:
    line = [part for option in options for part in ("--set", option)]
    instance = launch("--rootdir", str(projects), *ON, *line, wait=False)
    assert instance.wait_end() == 1
    assert reason in instance.log_text
    assert "Traceback" not in instance.log_text


# Health.


def test_health_is_told_without_a_token_to_everybody(managed: Instance) -> None:
    """Probes of orchestrators come from elsewhere and bear none."""
    elsewhere = {"Host": "maps.example"}
    assert ask(managed, "/api/status", headers=elsewhere).status == 421
    assert ask(managed, "/livez", headers=elsewhere).json() == {"status": "ok"}
    wait_for("it is ready", lambda: ask(managed, "/readyz", headers=elsewhere).status == 200)
