# SPDX-License-Identifier: GPL-2.0-or-later
"""Logging from a child's record to the master's line, and the access log, which no client can forge."""

from __future__ import annotations

import dataclasses
import io
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from qgsd import config, log
from qgsd.messages import Timing
from qgsd.proxy.http import access_log
from qgsd.proxy.http.handlers import ServiceHandler

LEVELS = [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL]
NAMES = ["debug", "info", "warning", "error", "critical"]


@pytest.fixture(autouse=True)
def own_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test does to the root logger ends with it."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    level = root.level
    yield
    for handler in root.handlers:
        handler.close()
    root.setLevel(level)


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    # Not sys.stderr itself: pytest puts its own there after the fixtures.
    monkeypatch.setattr(log, "sys", SimpleNamespace(stderr=stream))
    return stream


def taken(stream: io.StringIO) -> str:
    text = stream.getvalue()
    stream.seek(0)
    stream.truncate()
    return text


# Children.


@pytest.mark.parametrize(
    ("line", "parsed"),
    [
        ("<7>told", (logging.DEBUG, "told")),
        ("<6>told", (logging.INFO, "told")),
        ("<5>told", (logging.INFO, "told")),
        ("<4>told", (logging.WARNING, "told")),
        ("<3>bad", (logging.ERROR, "bad")),
        ("<2>worse", (logging.CRITICAL, "worse")),
        ("<1>worst", (logging.CRITICAL, "worst")),
        ("<0>over", (logging.CRITICAL, "over")),
        ("<6>", (logging.INFO, "")),
        ("<6><3>one priority only", (logging.INFO, "<3>one priority only")),
        ("", (logging.WARNING, "")),
        ("ERROR 1: from GDAL", (logging.WARNING, "ERROR 1: from GDAL")),
        (" <3>not in front", (logging.WARNING, " <3>not in front")),
        ("<x>no priority", (logging.WARNING, "<x>no priority")),
        ("<8>no priority", (logging.WARNING, "<8>no priority")),
        ("<33>no priority", (logging.WARNING, "<33>no priority")),
        ("<٣>no priority", (logging.WARNING, "<٣>no priority")),
    ],
)
def test_lines_of_children_have_a_level(line: str, parsed: tuple[int, str]) -> None:
    assert log.parse_line(line) == parsed


@given(st.text(max_size=100))
@settings(deadline=None)
def test_any_line_is_read(line: str) -> None:
    level, text = log.parse_line(line)
    assert level in LEVELS
    assert line.endswith(text)
    assert len(line) - len(text) in (0, 3)


@given(st.sampled_from(LEVELS), st.text(max_size=60))
@example(logging.INFO, "innocent\n<2>forged")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_a_child_says_arrives_with_its_level(stderr: io.StringIO, level: int, text: str) -> None:
    log.log_to_master("debug")
    logging.getLogger("qgsd.worker").log(level, "%s", text)
    lines = taken(stderr).removesuffix("\n").split("\n")
    wanted = [(level, line) for line in text.splitlines()] or [(logging.WARNING, "")]
    assert [log.parse_line(line) for line in lines] == wanted


def test_a_traceback_is_one_severity(stderr: io.StringIO) -> None:
    log.log_to_master("info")
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        logging.getLogger("qgsd").exception("failed")
    lines = taken(stderr).splitlines()
    assert len(lines) > 4
    assert {log.parse_line(line)[0] for line in lines} == {logging.ERROR}
    assert (lines[0], lines[-1]) == ("<3>failed", "<3>second")


@pytest.mark.parametrize(("name", "number"), list(zip(NAMES, LEVELS, strict=True)))
def test_the_level_decides_what_is_told(stderr: io.StringIO, name: str, number: int) -> None:
    assert log.level_number(name) == log.level_number(name.upper()) == number
    log.log_to_master("critical" if name == "debug" else "debug")
    log.set_level(name)
    for level in LEVELS:
        logging.getLogger("qgsd").log(level, "x")
    told = [log.parse_line(line)[0] for line in taken(stderr).splitlines()]
    assert told == [level for level in LEVELS if level >= number]


def test_a_level_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(KeyError):
        log.level_number("loud")


# The master.


def test_the_master_says_when_who_and_how_bad(stderr: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    log.MasterLog("info", "")
    logging.getLogger("qgsd.worker 1").warning("text")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} WARNING qgsd\.worker 1: text\n", taken(stderr))


def test_under_journald_lines_have_a_priority_and_no_time(
    stderr: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    log.MasterLog("info", "")
    logging.getLogger("qgsd.http 0").error("one\ntwo")
    assert taken(stderr) == "<3>qgsd.http 0: one\n<3>two\n"


def test_a_file_is_opened_anew_after_it_was_moved_away(tmp_path: Path, stderr: io.StringIO) -> None:
    path = tmp_path / "qgsd.log"
    master = log.MasterLog("info", str(path))
    logger = logging.getLogger("qgsd")
    logger.info("first")
    path.rename(tmp_path / "qgsd.log.1")
    master.reopen()
    assert path.read_text() == ""
    logger.info("second")
    logger.debug("not told")
    master.reopen()
    logger.info("third")
    assert [line.split(": ")[1] for line in path.read_text().splitlines()] == ["second", "third"]
    assert (tmp_path / "qgsd.log.1").read_text().endswith(": first\n")
    assert taken(stderr) == ""


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        log.MasterLog("info", str(tmp_path / "nowhere" / "qgsd.log"))


# The access log.

COMBINED = re.compile(
    r'192\.0\.2\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "(?P<first>[^"]*)" 200 (?P<size>\S+) '
    r'"(?P<referer>[^"]*)" "(?P<agent>[^"]*)" rt=0\.250(?P<details> [^"]*)?'
)
DETAILS = re.compile(
    r' queue=1\.000 load=2\.500 render=0\.000 worker=(?P<worker>[^"]*) id=r-1( error=(?P<error>.*))?'
)
ANY = st.text(st.characters(), max_size=40) | st.text(
    '"\\%\n\r\t\x00\x1b\x7f\x85\u2028\udcff 22x', max_size=12
)


def fields(uri: str = "/", **headers: str) -> dict[str, Any]:
    """What a handler has that is logged."""
    request = SimpleNamespace(
        method="GET", uri=uri, version="HTTP/1.1", remote_ip="192.0.2.1", headers=headers,
        request_time=lambda: 0.25,
    )  # fmt: skip
    return {"request": request, "_headers": {"Content-Length": "7"}, "_status_code": 200}


def plain_handler(**facts: Any) -> Any:
    return SimpleNamespace(**facts, get_status=lambda: facts["_status_code"])


def service_handler(**facts: Any) -> Any:
    handler = ServiceHandler.__new__(ServiceHandler)
    handler.__dict__.update({"request_id": "r-1", "details": {}, **facts})
    return handler


def meant(logged: str) -> str:
    """The text before it was made safe."""
    return logged.encode("ascii").decode("unicode_escape")


@given(ANY, ANY, ANY)
@example('/" 200 1 "-" "-" rt=0\n10.0.0.1 - - [x] "GET /', 'a" "b', "\\x22\\n")
@settings(max_examples=200, deadline=None)
def test_nothing_that_a_client_sends_breaks_out(uri: str, agent: str, referer: str) -> None:
    facts = fields(uri, **{"User-Agent": agent, "Referer": referer})
    line = access_log.line(plain_handler(**facts), 0.0)
    assert line.isascii()
    assert line.isprintable()
    parts = COMBINED.fullmatch(line)
    assert parts, line
    safe = [text.replace('"', "%22") for text in (f"GET {uri} HTTP/1.1", referer, agent)]
    assert [meant(parts[name]) for name in ("first", "referer", "agent")] == safe


@given(ANY, ANY)
@settings(deadline=None)
def test_what_workers_say_breaks_out_no_more(worker: str, failure: str) -> None:
    details = {"worker": worker, "timing": Timing(1.0, 2.5, 0.0)}
    line = access_log.line(service_handler(**fields(), details=details, failure=failure), 0.0)
    assert line.isascii()
    assert line.isprintable()
    parts = COMBINED.fullmatch(line)
    assert parts, line
    assert DETAILS.fullmatch(parts["details"])


def test_what_is_not_known_is_a_dash() -> None:
    facts = fields() | {"_headers": {}}
    parts = COMBINED.fullmatch(access_log.line(service_handler(**facts), 0.0))
    assert parts
    assert (parts["size"], parts["referer"], parts["agent"]) == ("-", "-", "-")
    assert parts["details"] == " queue=0.000 load=0.000 render=0.000 worker=- id=r-1"


@pytest.fixture
def open_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Callable[[Any], None]]:
    monkeypatch.setattr(logging.getLogger("qgsd.access"), "handlers", [])

    def opened(**choices: str) -> Callable[[Any], None]:
        loaded = config.load(None, {}, {}).settings
        chosen = dataclasses.replace(loaded.logging, **choices)
        return access_log.open_access_log(dataclasses.replace(loaded, logging=chosen))

    return opened


@pytest.mark.parametrize("level", NAMES)
def test_each_request_is_a_line_of_its_file_whatever_the_level(
    tmp_path: Path, open_log: Callable[..., Callable[[Any], None]], level: str, stderr: io.StringIO
) -> None:
    log.log_to_master(level)
    path = tmp_path / "access.log"
    write = open_log(access=str(path))
    for uri in ("/a", "/%s%d", "/c\n/d"):
        write(plain_handler(**fields(uri)))
    requests = [line.split('"')[1] for line in path.read_text().splitlines()]
    assert requests == ["GET /a HTTP/1.1", "GET /%s%d HTTP/1.1", "GET /c\\n/d HTTP/1.1"]
    assert taken(stderr) == "", "an access is no message of qgsd"


def test_off_is_off_and_a_dash_is_the_log_file_or_stdout(
    tmp_path: Path, open_log: Callable[..., Callable[[Any], None]], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "qgsd.log"
    for choices in ({"access": "off"}, {"access": "-", "file": ""}, {"access": "-", "file": str(path)}):
        open_log(**choices)(plain_handler(**fields("/" + choices.get("file", "off"))))
    assert [line.split()[6] for line in capsys.readouterr().out.splitlines()] == ["/"]
    assert [line.split()[6] for line in path.read_text().splitlines()] == [f"/{path}"]


def test_an_access_log_that_cannot_be_opened_is_an_error(
    tmp_path: Path, open_log: Callable[..., Callable[[Any], None]]
) -> None:
    with pytest.raises(OSError, match="nowhere"):
        open_log(access=str(tmp_path / "nowhere" / "access.log"))
