# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose trace a request belongs to, as the W3C's recommendation has it; and when spans are made at all."""

from __future__ import annotations

import os
import re
import string
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.httputil import HTTPHeaders

from qgsd import telemetry
from qgsd.proxy.http import trace

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VALID = f"00-{TRACE}-{PARENT}-01"
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}


def read(parent: str, state: str = "") -> trace.TraceContext | None:
    return trace.context_of(HTTPHeaders({"traceparent": parent, "tracestate": state}))


@pytest.mark.parametrize(
    "parent", [VALID, f"  {VALID}\t", f"cc-{TRACE}-{PARENT}-01", f"01-{TRACE}-{PARENT}-01-more"]
)
def test_a_valid_parent_is_taken_over(parent: str) -> None:
    context = read(parent)
    assert context is not None
    assert (context.trace_id, context.parent_id, context.sampled) == (TRACE, PARENT, True)
    assert context.headers() == [("traceparent", parent.strip())]


@pytest.mark.parametrize(
    "parent",
    [
        "", "-", "00", VALID.upper(),
        VALID[:-1], f"{VALID}-", f"{VALID}-more", f"{VALID}.", f"ff-{TRACE}-{PARENT}-01",
        f"0-{TRACE}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01", f"00-{TRACE}-{PARENT}-1", f"00-{TRACE}-{PARENT}-0x",
        f"cc-{TRACE}-{PARENT}-01.what", f"{VALID},{VALID}", f"00_{TRACE}_{PARENT}_01",
    ],
)  # fmt: skip
def test_no_other_is(parent: str) -> None:
    assert read(parent, "a=1") is None


def test_two_parents_are_none() -> None:
    headers = HTTPHeaders()
    headers.add("Traceparent", VALID)
    headers.add("Traceparent", VALID)
    assert trace.context_of(headers) is None


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True)])
def test_only_one_flag_says_sampled(flags: str, sampled: bool) -> None:
    context = read(f"00-{TRACE}-{PARENT}-{flags}")
    assert context is not None
    assert context.sampled == sampled


@pytest.mark.parametrize(
    "state", ["a=1", "a=1,b=2", "a=1 , ,b=2", "rojo@x=00f067,0k=~!;", "a= b", "k" * 256 + "=v"]
)
def test_a_state_goes_on_as_it_came(state: str) -> None:
    context = read(VALID, state)
    assert context is not None
    assert context.headers() == [("traceparent", VALID), ("tracestate", state)]


@pytest.mark.parametrize(
    "state",
    [
        "a", "=1", "A=1", "a=1,a=2", "a=b=c", "a=\x7f", ", ,", "k" * 257 + "=v",
        ",".join(f"k{number}=1" for number in range(33)),
    ],
)  # fmt: skip
def test_a_state_that_is_none_does_not_spoil_the_parent(state: str) -> None:
    context = read(VALID, state)
    assert context is not None
    assert context.headers() == [("traceparent", VALID)]


@given(st.text(string.hexdigits + "-, =", max_size=60), st.text(max_size=60))
def test_nothing_breaks_it(parent: str, state: str) -> None:
    context = read(VALID if parent.startswith("0") else parent, state)
    assert context is None or read(*[value for _, value in context.headers()]) == context


def test_what_is_passed_on_is_the_context_and_no_other() -> None:
    told = [("Host", "h"), ("Traceparent", "nonsense"), ("tracestate", "a=1")]
    assert trace.passed_on(told, None) == [("Host", "h")]
    assert trace.passed_on(told, read(VALID, "b=2")) == [
        ("Host", "h"),
        ("traceparent", VALID),
        ("tracestate", "b=2"),
    ]


def test_a_context_of_our_own_is_valid() -> None:
    own = trace.made(TRACE, PARENT, 3, "a=1")
    assert read(*[value for _, value in own.headers()]) == own


# Spans.


@pytest.mark.parametrize(
    ("environ", "asked"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "TRUE"}, False),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "console, otlp"}, True),
    ],
)
def test_an_endpoint_asks_for_spans(environ: dict[str, str], asked: bool) -> None:
    assert telemetry.is_asked_for(environ) == asked
    assert telemetry.problem(environ) == ""


def test_another_protocol_is_told() -> None:
    told = telemetry.problem(ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert (
        told == "no traces are exported: OTEL_EXPORTER_OTLP_PROTOCOL is grpc, qgsd speaks http/protobuf only"
    )


def test_without_the_packages_it_is_told_what_to_install(tmp_path: Path) -> None:
    hide_opentelemetry(tmp_path)
    script = f"from qgsd import telemetry; print(telemetry.problem({ENDPOINT}))"
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    shown = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True, env=env
    )
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed" in shown.stdout
    assert "pip install 'qgsd[otel]'" in shown.stdout


def hide_opentelemetry(folder: Path) -> None:
    """A folder that, in front of the others, makes it look as if it were not installed."""
    (folder / "opentelemetry").mkdir()
    (folder / "opentelemetry" / "__init__.py").write_text("raise ModuleNotFoundError('hidden by the test')\n")


def test_nothing_of_it_is_imported_unasked() -> None:
    script = (
        "import sys, os; from qgsd import telemetry; import qgsd.proxy.http.server; telemetry.problem({}); "
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    shown = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_every_attribute_is_documented() -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs" / "traces.md").read_text()
    code = (root / "qgsd" / "proxy" / "http" / "spans.py").read_text()
    made = set(re.findall(r'"((?:http|url|client|user_agent|network|error|qgsd)\.[\w.]+)"', code)) - {
        "qgsd.http"
    }
    rows = "".join(line for line in page.splitlines() if line.startswith("| `"))
    assert made == set(re.findall(r"`((?:http|url|client|user_agent|network|error|qgsd)\.[\w.]+)`", rows))
    for name in (*telemetry.ENDPOINTS, telemetry.SECRETS[0]):
        assert f"`{name}`" in rows
