# SPDX-License-Identifier: GPL-2.0-or-later
"""Server plugins, and what they and QGIS say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.instance import Instance, ows_path
from tests.waiting import wait_for

PLUGINS = Path(__file__).parents[1] / "plugins"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, shared_root: Path) -> Iterator[Instance]:
    """With QGIS's own variable for plugins, as an installation has it."""
    instance = Instance(
        tmp_path_factory.mktemp("q") / "i",
        "run",
        ("--rootdir", str(shared_root), "--timeout", "2", "-w", "2"),
        env={"QGIS_PLUGINPATH": str(PLUGINS)},
    )
    with instance:
        yield instance


def test_a_service_of_a_plugin_answers_with_headers(server: Instance) -> None:
    answer = server.get(ows_path(SERVICE="PROBE", REQUEST="inside"), **{"X-Probe": "hello"})
    assert (answer.status, answer.headers["X-Probe"]) == (200, "hello")
    assert answer.json()["pid"] in {row["pid"] for row in server.workers()}


def test_a_plugin_that_does_not_load_is_told(server: Instance) -> None:
    events = [line for line in server.ctl("--json", "events").stdout.splitlines() if "plugin.broken" in line]
    assert len(events) == 1
    assert "this plugin never loads" in events[0]


def test_what_is_said_in_a_worker_is_logged_with_its_slot(server: Instance) -> None:
    assert server.ows(SERVICE="PROBE", REQUEST="say", VALUE="aha").status == 200
    for text in ("QGIS says aha", "stderr says aha", "stdout says aha", "Python warns aha"):
        line = wait_for(text, lambda text=text: _line_with(server, text))  # type: ignore[misc]
        assert " qgsd.worker " in line


def _line_with(server: Instance, text: str) -> str:
    return next((line for line in server.log_text.splitlines() if text in line), "")


def test_a_failing_plugin_is_500_without_a_traceback(server: Instance) -> None:
    answer = server.ows(SERVICE="PROBE", REQUEST="fail", VALUE="secret reason")
    assert answer.status == 500
    assert "Traceback" not in answer.text
    assert server.ows(SERVICE="PROBE", REQUEST="inside").status == 200


def test_an_aborting_worker_is_replaced_and_the_request_tried_twice(server: Instance) -> None:
    before = server.ctl_json("status")["counters"]
    answer = server.ows(SERVICE="PROBE", REQUEST="abort")
    assert answer.status == 500
    assert "SIGABRT" in answer.text
    after = server.ctl_json("status")["counters"]
    assert after["retries"] == before["retries"] + 1
    wait_for("both crashes are counted", lambda: _crashes(server) == before["crashes"] + 2)
    wait_for("two workers", lambda: server.ctl_json("status")["workers"]["ready"] == 2)


def _crashes(server: Instance) -> int:
    return int(server.ctl_json("status")["counters"]["crashes"])


def test_a_stalled_request_is_504_and_its_worker_replaced(server: Instance) -> None:
    before = {row["pid"] for row in server.workers()}
    answer = server.ows(SERVICE="PROBE", REQUEST="sleep", VALUE="60")
    assert answer.status == 504
    wait_for("the stalled worker is replaced", lambda: len(_new_workers(server, before)) == 1)
    assert server.ctl_json("status")["counters"]["timeouts"] >= 1
    assert any("over the deadline" in line for line in server.ctl("--json", "events").stdout.splitlines())


def _new_workers(server: Instance, before: set[int]) -> list[int]:
    return [row["pid"] for row in server.workers() if row["state"] == "idle" and row["pid"] not in before]


def test_small_writes_come_whole_and_in_order(server: Instance) -> None:
    answer = server.ows(SERVICE="PROBE", REQUEST="stream", VALUE="500")
    wanted = "".join(f"{number:>99}\n" * 100 for number in range(500))
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert answer.text == wanted
