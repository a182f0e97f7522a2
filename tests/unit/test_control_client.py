# SPDX-License-Identifier: GPL-2.0-or-later
"""Every command through the client library and a real socket."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qgsd.control import Client, CommandFailed, ControlError, NoMaster
from qgsd.control import client as client_module
from qgsd.control.commands import look
from qgsd.control.errors import BadUsage
from tests.unit.test_control_support import PATIENCE, Served, serving, until


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path / "run" / "control") as served:
        yield served


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    with Client(served.address, timeout=PATIENCE) as client:
        yield client


def test_status_has_the_keys_scripts_rely_on(client: Client) -> None:
    status = client.call("status")
    assert status["state"] == "running"
    assert status["workers"] == {"target": 2, "ready": 2, "busy": 0, "starting": 0}
    assert status["queue"] == {"waiting": 0, "max": 1000}
    assert status["counters"]["requests"] == 7


@pytest.mark.parametrize(
    ("args", "target"),
    [
        ({"workers": 8}, 8),
        ({"workers": 1, "relative": True}, 3),
        ({"workers": -1, "relative": True}, 1),
        ({"workers": "+2"}, 4),
        ({"workers": "-2"}, 0),
        ({"workers": "5", "wait": False}, 5),
    ],
)
def test_scale(client: Client, args: dict[str, Any], target: int) -> None:
    assert client.call("scale", **args)["target"] == target


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"workers": -1},
        {"workers": "many"},
        {"workers": 1.5},
        {"workers": True},
        {"workers": None},
        {"workers": 10**9},
        {"workers": 1, "now": True},
        {"workers": 1, "wait": "no"},
    ],
)
def test_scale_refuses_arguments_that_do_not_fit(client: Client, args: dict[str, Any]) -> None:
    with pytest.raises(CommandFailed) as caught:
        client.call("scale", **args)
    assert caught.value.code == "bad_arguments"
    assert "scale: " in caught.value.message


def test_the_other_commands(client: Client, served: Served) -> None:
    assert [row["role"] for row in client.call("ps")] == ["master", "worker", "worker"]
    assert client.call("reload", project="town") == [{"project": "town", "status": "flipped", "error": None}]
    assert client.call("reload")[0]["project"] == "all"
    assert client.call("restart") == {"restarted": 2}
    assert client.call("kill", target=1) == {"slot": 1, "pid": 4711}
    assert client.call("config")[0]["key"] == "port"
    assert client.call("log-level", level="debug") == {"level": "debug"}
    assert served.instance.level == "debug"
    assert client.call("ping") == {"pong": True, "pid": os.getpid()}
    assert client.call("version") == {"version": "1.2.3", "qgis_version": "3.22.16"}
    assert client.call("stop", now=True) == {"now": True}


def test_a_refusal_carries_the_masters_code_and_sentence(client: Client) -> None:
    with pytest.raises(CommandFailed, match="more than the memory holds") as caught:
        client.call("scale", workers=101)
    assert caught.value.code == "too_many"
    assert caught.value.exit_code == 1


def test_an_unexpected_error_is_reported_and_logged(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(CommandFailed, match="slot 13") as caught:
        client.call("kill", target=13)
    assert caught.value.code == "failed"
    assert "Traceback" not in caught.value.message
    until(lambda: any(r.name == "qgsd.control" and r.exc_info for r in caplog.records))
    assert client.call("ping")["pong"]


def test_an_unknown_command_names_the_nearest(client: Client) -> None:
    with pytest.raises(CommandFailed, match="did you mean 'status'") as caught:
        client.call("stauts")
    assert caught.value.code == "unknown_command"


def test_progress_comes_before_the_answer(client: Client) -> None:
    reports: list[dict[str, Any]] = []
    client.call("scale", workers=3, on_progress=reports.append)
    assert [report["done"] for report in reports] == [0, 1]


def test_a_long_command_holds_up_nobody(client: Client, served: Served) -> None:
    served.do(served.instance.gate.clear)
    answers: list[Any] = []
    with Client(served.address) as other:
        thread = threading.Thread(target=lambda: answers.append(other.call("scale", workers=4)))
        thread.start()
        until(lambda: served.instance.waiting)
        assert client.call("ping")["pong"]
        assert client.call("status")["workers"]["target"] == 4
        assert not answers
        served.do(served.instance.gate.set)
        thread.join(PATIENCE)
    assert answers[0]["target"] == 4


def test_too_many_at_a_time_are_told_so(tmp_path: Path) -> None:
    with serving(tmp_path / "control", max_in_flight=2) as served:
        served.do(served.instance.gate.clear)
        clients = [Client(served.address) for _ in range(2)]
        threads = [threading.Thread(target=client.call, args=("restart",)) for client in clients]
        for thread in threads:
            thread.start()
        until(lambda: served.instance.waiting == 2)
        with Client(served.address) as client, pytest.raises(CommandFailed, match="try again") as caught:
            client.call("status")
        assert caught.value.code == "busy"
        served.do(served.instance.gate.set)
        for thread, client in zip(threads, clients, strict=True):
            thread.join(PATIENCE)
            client.close()


def test_a_timeout_says_that_the_master_goes_on(served: Served) -> None:
    served.do(served.instance.gate.clear)
    with Client(served.address, timeout=0.2) as client:
        with pytest.raises(CommandFailed, match=r"0\.2 s") as caught:
            client.call("scale", workers=4)
        assert caught.value.code == "timeout"
        served.do(served.instance.gate.set)
        # The late answer to the first question is not taken for that of the second.
        assert client.call("ping")["pong"]


def test_no_wait_returns_before_the_effect(client: Client, served: Served) -> None:
    served.do(served.instance.gate.clear)
    assert client.call("scale", workers=6, wait=False)["target"] == 6


def test_recent_events(client: Client) -> None:
    (event,) = client.events()
    assert event["event"] == "worker.ready"
    assert event["details"] == {"slot": 0}


def test_following_misses_nothing_and_ends(client: Client, served: Served) -> None:
    events = client.events(follow=True)
    for number in range(300):
        served.do(served.instance.happen, "scaled", f"to {number}")
    assert [next(events)["reason"] for _ in range(300)] == [f"to {number}" for number in range(300)]
    events.close()  # type: ignore[attr-defined]
    until(lambda: not served.instance.followers, "the end of following")
    assert client.call("ping")["pong"]


def test_a_follower_that_vanished_is_forgotten(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "ALIVE_EVERY", 0.02)
    with Client(served.address) as client:
        events = client.events(follow=True)
        until(lambda: served.instance.followers)
        monkeypatch.setattr(client, "_post", lambda request: None)
    until(lambda: not served.instance.followers, "the end of following")
    del events


def test_signs_of_life_are_not_events(
    client: Client, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "ALIVE_EVERY", 0.01)
    events = client.events(follow=True)
    threading.Timer(0.1, served.do, (served.instance.happen, "scaled", "later")).start()
    assert next(events)["event"] == "scaled"


def test_following_ends_with_the_master(client: Client, served: Served) -> None:
    events = client.events(follow=True)
    served.do(served.stop.set)
    with pytest.raises(CommandFailed) as caught:
        next(events)
    assert caught.value.code == "stopping"


def test_what_runs_is_told_that_the_master_stops(client: Client, served: Served) -> None:
    served.do(served.instance.gate.clear)
    with pytest.raises(CommandFailed) as caught:
        client.call("restart", on_progress=lambda report: served.do(served.stop.set))
    assert caught.value.code == "stopping"


def test_nobody_there(tmp_path: Path) -> None:
    begin = time.monotonic()
    with Client(f"ipc://{tmp_path}/none") as client, pytest.raises(NoMaster, match="there is no socket"):
        client.call("ping")
    assert time.monotonic() - begin < 3


def test_a_master_that_goes_away_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_PROBE_AFTER", 0.05)
    with serving(tmp_path / "control") as served:
        client = Client(served.address, timeout=PATIENCE)
        monkeypatch.setattr(served.server, "_answer", lambda peer, reply: None)
        client._heard = time.monotonic()
        with client, pytest.raises(NoMaster, match="went away"):
            client.call("status")


def test_a_master_that_was_replaced_is_noticed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_PROBE_AFTER", 0.05)
    served.do(served.instance.gate.clear)
    with Client(served.address, timeout=PATIENCE) as client:
        client.connect()
        client._master = 1
        with pytest.raises(NoMaster, match="replaced"):
            client.call("restart")


@pytest.mark.parametrize("address", ["", "nonsense", "tcp://127.0.0.1", "pgm://x"])
def test_impossible_addresses(address: str) -> None:
    with pytest.raises(BadUsage, match="not the address"):
        Client(address)


def test_what_json_cannot_say_is_not_sent(client: Client) -> None:
    with pytest.raises(ControlError, match="cannot be sent"):
        client.call("reload", project="\udcff")


def test_the_socket_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "run" / "control"
    with serving(path):
        mode = path.lstat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()
