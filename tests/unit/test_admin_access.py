# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may look and who may change at the management port."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qgsd.admin.access import Caller, Denied, check_changing, check_reading, knows_token
from qgsd.admin.api import CHANGING, LOOKING
from qgsd.config import Settings, load
from qgsd.control.commands import COMMANDS
from qgsd.master import management

LOCAL = Caller(local=True, host="localhost:19876")
REMOTE = Caller(local=False, host="maps.example")


def denied(check: object, caller: Caller, token: str) -> int:
    try:
        check(caller, token)  # type: ignore[operator]
    except Denied as error:
        return error.status
    return 200


def with_token(caller: Caller, authorization: str) -> Caller:
    return Caller(caller.local, caller.host, authorization)


@pytest.mark.parametrize(
    ("caller", "token", "reading", "changing"),
    [
        (LOCAL, "", 200, 403),
        (LOCAL, "s", 200, 401),
        (with_token(LOCAL, "Bearer s"), "s", 200, 200),
        (with_token(LOCAL, "bearer  s "), "s", 200, 200),
        (with_token(LOCAL, "Basic s"), "s", 200, 401),
        (REMOTE, "", 401, 403),
        (REMOTE, "s", 401, 401),
        (with_token(REMOTE, "Bearer s"), "s", 200, 200),
        (Caller(True, "evil.example:19876"), "", 421, 403),
        (Caller(True, "127.0.0.1.evil.example"), "", 421, 403),
        (Caller(True, "[::1]:19876"), "", 200, 403),
    ],
)
def test_who_may(caller: Caller, token: str, reading: int, changing: int) -> None:
    assert denied(check_reading, caller, token) == reading
    assert denied(check_changing, caller, token) == changing


@given(st.text(), st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
def test_only_the_token_itself_is_the_token(sent: str, token: str) -> None:
    assert knows_token(with_token(LOCAL, f"Bearer {sent}"), token) == (sent.strip(" ") == token)


def test_every_control_command_is_in_the_api() -> None:
    assert set(LOOKING) | set(CHANGING) == set(COMMANDS)


def settings(**options: str) -> Settings:
    return load(None, {}, {("management", key): value for key, value in options.items()}).settings


@pytest.mark.parametrize("interfaces", ["127.0.0.1", "localhost, ::1", "unix:/run/x", "127.0.0.53"])
def test_this_machine_needs_no_token(interfaces: str) -> None:
    assert management.warnings(settings(enabled="yes", interfaces=interfaces).management) == []


@pytest.mark.parametrize("interfaces", ["0.0.0.0", "::", "192.0.2.1", "maps.example", "127.0.0.1, 0.0.0.0"])
def test_other_machines_need_one(interfaces: str) -> None:
    (told,) = management.warnings(settings(enabled="yes", interfaces=interfaces).management)
    assert "answered 401; set token" in told
    for more in ({"enabled": "yes", "token": "t"}, {"enabled": "no"}):
        assert management.warnings(settings(interfaces=interfaces, **more).management) == []


def test_only_the_admin_is_told_the_token() -> None:
    known = settings(enabled="yes", token="t")
    assert management.settings_for("admin", known).management.token == "t"
    assert management.settings_for("http", known).management.token == ""
    assert management.settings_for("worker", known).management.token == ""
