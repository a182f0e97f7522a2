# SPDX-License-Identifier: GPL-2.0-or-later
"""What an administrator reads: each request in the access log, and what QGIS said of which one."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.instance import GET_MAP, Answer, Instance, ows_path
from tests.waiting import wait_for

PLUGINS = Path(__file__).parents[1] / "plugins"
CAPABILITIES = {"SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetCapabilities"}
# Plugins that may filter would keep answers from being kept; these two say that theirs depend on nothing.
OPTIONS = f"""
[server]
jobs=1
workers=1
pluginpath={PLUGINS}
[logging]
access=access.log
access_format=json
slow=0.4
[answers.plugins]
faulty=nothing
gatekeeper=nothing
keeper=nothing
hello=nothing
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, shared_root: Path) -> Iterator[Instance]:
    folder = tmp_path_factory.mktemp("q") / "i"
    instance = Instance(folder, "run", ("--rootdir", str(shared_root)), config=OPTIONS)
    with instance:
        yield instance


def access_log(server: Instance) -> Path:
    return server.folder / "access.log"


def line_of(server: Instance, id: str) -> str:
    def found() -> str:
        lines = access_log(server).read_text().splitlines()
        return next((line for line in lines if id in line), "")

    return wait_for(f"the line of {id}", found)


def logged(server: Instance, target: str, id: str) -> tuple[Answer, dict[str, Any]]:
    answer = server.get(target, **{"X-Request-Id": id})
    return answer, json.loads(line_of(server, id))


def probe(request: str, value: str) -> str:
    return ows_path(SERVICE="PROBE", REQUEST=request, VALUE=value)


def test_a_line_says_what_was_asked_and_where_the_time_went(server: Instance) -> None:
    answer, line = logged(server, ows_path(**GET_MAP), "map-1")
    assert answer.status == line["status"] == 200
    assert line["size"] == len(answer.body)
    asked = {name: line[name] for name in ("project", "service", "request", "worker", "cache", "error")}
    assert asked == {
        "project": "world", "service": "WMS", "request": "GetMap", "worker": "0", "cache": "none",
        "error": "",
    }  # fmt: skip
    assert 0 < line["render"] <= line["render"] + line["load"] + line["queue"] < line["seconds"]
    told = f"render;dur={1000 * line['render']:.1f}"
    assert told in answer.headers["Server-Timing"]


def test_a_stream_is_logged_with_the_bytes_that_were_sent(server: Instance) -> None:
    answer, line = logged(server, probe("stream", "5"), "stream-1")
    assert (line["status"], line["size"]) == (200, len(answer.body))


def test_a_refused_request_is_logged_with_the_reason(server: Instance) -> None:
    answer, line = logged(server, ows_path("nowhere", **CAPABILITIES), "none-1")
    assert (answer.status, line["status"], line["project"], line["error"]) == (
        404,
        404,
        "nowhere",
        "no_project",
    )


def test_kept_answers_are_logged_also_those_that_are_given_without_a_look(server: Instance) -> None:
    target = ows_path(**CAPABILITIES)
    _, first = logged(server, target, "kept-0")
    assert first["cache"] == "none"
    assert logged(server, target, "kept-1")[1]["cache"] == "kept"
    # Of the same bytes: the second of these is answered before it is parsed.
    ids = [server.get(target).headers["X-Request-Id"] for _ in range(3)]
    lines = [json.loads(line_of(server, id)) for id in ids]
    for line in lines:
        told = {name: line[name] for name in ("cache", "project", "service", "request", "status", "client")}
        assert told == {
            "cache": "kept", "project": "world", "service": "WMS", "request": "GetCapabilities",
            "status": 200, "client": "127.0.0.1",
        }  # fmt: skip
    assert len({line["size"] for line in lines}) == 1


def test_what_qgis_and_plugins_say_has_the_id_of_the_request(server: Instance) -> None:
    for id in ("say-1", "say-2"):
        assert server.get(probe("say", f"<{id}>"), **{"X-Request-Id": id}).status == 200
    # Behind the last of it.
    server.get(ows_path(**GET_MAP))
    for id in ("say-1", "say-2"):
        for who in ("QGIS", "stderr", "stdout", "Python"):
            text = f"{who} says <{id}>" if who != "Python" else f"Python warns <{id}>"

            def told(text: str = text) -> list[str]:
                return [line for line in server.log_text.splitlines() if text in line]

            lines = wait_for(f"the log has {text}", told)
            assert all(f"qgsd.worker 0: [{id}] " in line for line in lines), lines


def test_a_slow_request_is_told(server: Instance) -> None:
    server.get(probe("sleep", "0.5"), **{"X-Request-Id": "slow-1"})
    line = wait_for(
        "the slow request is told",
        lambda: next((line for line in server.log_text.splitlines() if "slow request" in line), ""),
    )
    assert " WARNING qgsd.http 0: slow request: GET /ows/?MAP=world&SERVICE=PROBE" in line
    assert line.endswith(" project=world service=PROBE request=sleep worker=0 cache=none id=slow-1")


def test_a_crash_tells_which_request_it_was(server: Instance) -> None:
    assert server.get(probe("abort", ""), **{"X-Request-Id": "deadly-1"}).status == 500
    told = [json.loads(line) for line in server.ctl("--json", "events").stdout.splitlines()]
    of_it = [event["event"] for event in told if event["details"].get("request") == "deadly-1"]
    # On the second worker as well, and then no more.
    assert sorted(of_it) == ["request.quarantined", "request.retried", "worker.crashed", "worker.crashed"]
    assert "[deadly-1] Fatal Python error: Aborted" in server.log_text


def test_the_form_changes_while_it_serves_and_the_signal_gives_a_new_file(server: Instance) -> None:
    server.ctl("set", "logging.access_format", "common")
    server.get("/ping", **{"X-Request-Id": "ping-1"})
    line = line_of(server, "ping-1")
    assert '"GET /ping HTTP/1.1" 200 ' in line
    old = access_log(server).rename(server.folder / "access.log.1")
    server.signal(signal.SIGUSR1.name.removeprefix("SIG"))
    wait_for("a new file", access_log(server).exists)
    server.get("/ping", **{"X-Request-Id": "ping-2"})
    line_of(server, "ping-2")
    assert "ping-2" not in old.read_text()
