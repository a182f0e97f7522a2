# SPDX-License-Identifier: GPL-2.0-or-later
"""Traces: what plugins and the access log are told, and the spans that a real receiver gets over OTLP."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.instance import GET_MAP, Answer, Instance, ows_path
from tests.integration.receiver import Receiver
from tests.unit.test_trace import hide_opentelemetry
from tests.waiting import wait_for

PLUGINS = Path(__file__).parents[1] / "plugins"
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"
CAPABILITIES = {"SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetCapabilities"}
SERVER = 2
OPTIONS = f"""
[server]
jobs=1
workers=1
pluginpath={PLUGINS}
allow_headers=X-None-
[logging]
access=access.log
access_format=json
[answers.plugins]
faulty=nothing
gatekeeper=nothing
keeper=nothing
hello=nothing
"""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def run(folder: Path, root: Path, env: dict[str, str]) -> Iterator[Instance]:
    instance = Instance(folder, "run", ("--rootdir", str(root)), config=OPTIONS, env=env)
    with instance:
        yield instance


@pytest.fixture(scope="module")
def traced(
    tmp_path_factory: pytest.TempPathFactory, shared_root: Path, receiver: Receiver
) -> Iterator[Instance]:
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address, "OTEL_EXPORTER_OTLP_HEADERS": "x-key=secret",
        "OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_RESOURCE_ATTRIBUTES": "service.namespace=maps",
    }  # fmt: skip
    yield from run(tmp_path_factory.mktemp("q") / "i", shared_root, env)


@pytest.fixture(scope="module")
def untraced(tmp_path_factory: pytest.TempPathFactory, shared_root: Path) -> Iterator[Instance]:
    """OpenTelemetry is asked for, but not installed: the context is forwarded all the same."""
    hidden = tmp_path_factory.mktemp("hidden")
    hide_opentelemetry(hidden)
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "PYTHONPATH": str(hidden)}
    yield from run(tmp_path_factory.mktemp("q") / "i", shared_root, env)


def line_of(server: Instance, id: str) -> dict[str, Any]:
    path = server.folder / "access.log"
    line = wait_for(
        f"the line of {id}", lambda: next((one for one in path.read_text().splitlines() if id in one), "")
    )
    told: dict[str, Any] = json.loads(line)
    return told


def seen_by_plugin(server: Instance, id: str, **headers: str) -> dict[str, str]:
    """The trace headers that a plugin finds in the request."""
    answer = server.get(ows_path(SERVICE="PROBE", REQUEST="headers"), **{"X-Request-Id": id}, **headers)
    assert answer.status == 200, answer.text
    found = {name.lower(): value for name, value in answer.json()["headers"].items()}
    return {name: value for name, value in found.items() if name.startswith("trace")}


# Forwarding.


def test_a_valid_context_goes_on_unchanged_and_no_other(untraced: Instance) -> None:
    told = {"Traceparent": SAMPLED, "Tracestate": "a=1, b=2"}
    assert seen_by_plugin(untraced, "on-1", **told) == {"traceparent": SAMPLED, "tracestate": "a=1, b=2"}
    assert line_of(untraced, "on-1")["trace"] == TRACE
    for number, bad in enumerate(("nonsense", SAMPLED.upper(), "")):
        assert seen_by_plugin(untraced, f"bad-{number}", Traceparent=bad, Tracestate="a=1") == {}
        assert line_of(untraced, f"bad-{number}")["trace"] == ""
    assert seen_by_plugin(untraced, "none-1") == {}


def test_a_kept_answer_is_logged_with_its_trace(untraced: Instance) -> None:
    for _ in range(3):
        answer = untraced.get(ows_path(**CAPABILITIES), Traceparent=SAMPLED)
    line = line_of(untraced, answer.headers["X-Request-Id"])
    assert (line["cache"], line["trace"]) == ("kept", TRACE)


def test_that_it_is_not_installed_is_told(untraced: Instance) -> None:
    lines = [line for line in untraced.log_text.splitlines() if "pip install 'qgsd[otel]'" in line]
    assert len(lines) == 1
    assert " WARNING qgsd.http 0: no traces are exported: OTEL_EXPORTER_OTLP_ENDPOINT is set" in lines[0]
    assert not any("qgsd.http 0: Traceback" in line for line in untraced.log_text.splitlines())


# Spans.


def test_a_request_is_a_span_with_the_phases_in_it(traced: Instance, receiver: Receiver) -> None:
    before = time.time()
    answer = traced.get(
        ows_path(**GET_MAP), Traceparent=SAMPLED, Tracestate="a=1", **{"X-Request-Id": "map-1"}
    )
    after = time.time()
    assert answer.status == 200
    spans = receiver.of_request("map-1")
    assert {*spans} == {"request", "queue", "load", "render"}, "the first one of the project loads it"
    request = spans["request"]
    assert (request.name, request.kind, request.trace_id, request.parent_id) == (
        "GET /ows/", SERVER, TRACE, CALLER,
    )  # fmt: skip
    assert {span.trace_id for span in spans.values()} == {TRACE}
    assert request.state == "a=1"
    assert (request.resource["service.name"], request.resource["service.namespace"]) == ("qgsd", "maps")
    told = {
        "http.response.status_code": 200,
        "qgsd.project": "world",
        "qgsd.request": "GetMap",
        "qgsd.cache": "none",
    }
    assert told.items() <= request.attributes.items()
    assert spans["render"].attributes["qgsd.worker"] == "0"
    # The client may have its answer before the server knows that it has.
    assert before <= request.start <= request.end <= after + 1
    # One after the other within the request, each as long as the access log says.
    line = line_of(traced, "map-1")
    at = request.start
    for name in ("queue", "load", "render"):
        span = spans[name]
        assert at - 1e-6 <= span.start <= span.end <= request.end
        assert span.end - span.start == pytest.approx(line[name], abs=1e-5)
        at = span.end
    assert request.end - request.start == pytest.approx(line["seconds"], abs=0.01)
    assert not any(span.failed for span in spans.values())


def test_the_rendering_is_the_parent_of_what_plugins_do(traced: Instance, receiver: Receiver) -> None:
    told = seen_by_plugin(traced, "plugin-1", Traceparent=SAMPLED)
    render = receiver.of_request("plugin-1")["render"]
    assert told["traceparent"] == f"00-{TRACE}-{render.span_id}-01"
    assert line_of(traced, "plugin-1")["trace"] == TRACE


def test_a_request_without_a_context_begins_a_trace(traced: Instance, receiver: Receiver) -> None:
    for id, headers in (("new-1", {}), ("new-2", {"Traceparent": "nonsense", "Tracestate": "a=1"})):
        told = seen_by_plugin(traced, id, **headers)
        spans = receiver.of_request(id)
        trace_id = spans["request"].trace_id
        assert trace_id != TRACE
        assert spans["request"].parent_id == ""
        assert told["traceparent"].startswith(f"00-{trace_id}-{spans['render'].span_id}-")
        assert "tracestate" not in told
        assert line_of(traced, id)["trace"] == trace_id


def test_what_the_caller_does_not_sample_is_not_sampled(traced: Instance, receiver: Receiver) -> None:
    told = seen_by_plugin(traced, "quiet-1", Traceparent=UNSAMPLED)
    assert told["traceparent"].startswith(f"00-{TRACE}-")
    assert told["traceparent"].endswith("-00")
    assert line_of(traced, "quiet-1")["trace"] == TRACE
    seen_by_plugin(traced, "loud-1")
    receiver.of_request("loud-1")
    assert not any(span.attributes.get("qgsd.request_id") == "quiet-1" for span in receiver.spans)


def test_kept_answers_are_spans_also_those_given_without_a_look(traced: Instance, receiver: Receiver) -> None:
    answers: list[Answer] = [traced.get(ows_path(**CAPABILITIES)) for _ in range(4)]
    traces = set()
    for answer in answers[1:]:
        id = answer.headers["X-Request-Id"]
        spans = receiver.of_request(id)
        assert {*spans} == {"request"}
        assert spans["request"].attributes["qgsd.cache"] == "kept"
        assert line_of(traced, id)["trace"] == spans["request"].trace_id
        traces.add(spans["request"].trace_id)
    assert len(traces) == 3


def test_a_failed_request_is_a_failed_span(traced: Instance, receiver: Receiver) -> None:
    path = ows_path(SERVICE="PROBE", REQUEST="abort")
    assert traced.get(path, **{"X-Request-Id": "dead-1"}).status == 500
    request = receiver.of_request("dead-1")["request"]
    assert request.failed
    assert request.attributes["error.type"] == line_of(traced, "dead-1")["error"]
    assert traced.get(ows_path("nowhere"), **{"X-Request-Id": "none-1"}).status == 404
    assert not receiver.of_request("none-1")["request"].failed


def test_the_key_to_the_receiver_is_told_to_nobody_else(traced: Instance, receiver: Receiver) -> None:
    told = traced.get(ows_path(SERVICE="PROBE", REQUEST="variable", VALUE="OTEL_EXPORTER_OTLP_HEADERS"))
    assert told.json() == {"value": None}
    wait_for("something has been sent", lambda: receiver.asked)
    assert {path for path, _ in receiver.asked} == {"/v1/traces"}
    assert {headers["x-key"] for _, headers in receiver.asked} == {"secret"}


def test_a_receiver_that_is_not_there_costs_one_line_a_minute(
    launch: Callable[..., Instance], shared_root: Path
) -> None:
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{unused_port()}", "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_BSP_SCHEDULE_DELAY": "20",
    }  # fmt: skip
    instance = launch("--rootdir", str(shared_root), "-w", "1", env=env)

    def told() -> list[str]:
        # A span for each, so that there is more than one batch to complain of.
        assert instance.get(ows_path(**CAPABILITIES)).status == 200
        return [line for line in instance.log_text.splitlines() if "http 0: traces: " in line]

    wait_for("it is told", lambda: any("Failed to export" in line for line in told()))
    lines = told()
    assert len({line.split(": traces: ")[1].split()[0] for line in lines}) == len(lines), lines
    began = time.monotonic()
    instance.ctl("stop")
    assert time.monotonic() - began < 20


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
