# SPDX-License-Identifier: GPL-2.0-or-later
"""The access log: each form can be read back, no client can forge a line, and it costs no request."""

from __future__ import annotations

import asyncio
import datetime
import json
import logging
import re
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qgsd.config.options.logging import LoggingSettings
from qgsd.log_file import LogFile
from qgsd.messages import Timing
from qgsd.proxy.http.access_line import FORMS, Visit
from qgsd.proxy.http.access_log import AccessLog, SlowLog, visit_of
from qgsd.proxy.http.handlers import ServiceHandler

NOW = 1_700_000_000.25
TEXT = re.compile(
    r'192\.0\.2\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "(?P<asked>[^"]*)" 200 (?P<size>\S+)'
    r'(?: "(?P<referer>[^"]*)" "(?P<agent>[^"]*)")? rt=0\.250 queue=1\.000 load=2\.500 render=0\.125'
    r' project=(?P<project>[^" ]+|"[^"]*") service=(?P<service>[^" ]+|"[^"]*")'
    r' request=(?P<request>[^" ]+|"[^"]*") worker=(?P<worker>[^" ]+|"[^"]*") cache=none id=r-1'
    r'(?: error=(?P<error>[^" ]+|"[^"]*"))?'
)
ANY = st.text(st.characters(), max_size=40) | st.text(
    '"\\%\n\r\t\x00\x1b\x7f\x85\u2028\udcff 22xs', max_size=12
)
TOLD = ("uri", "agent", "referer", "project", "service", "request", "worker", "error")


def visit(**told: Any) -> Visit:
    plain = Visit("192.0.2.1", "GET", "/", "HTTP/1.1", 200, 7, "", "", "r-1", 0.25, 1.0, 2.5, 0.125)
    return plain._replace(**told)


def meant(logged: str) -> str:
    """The text before it was made safe."""
    return logged.strip('"').encode("ascii").decode("unicode_escape")


@given(st.fixed_dictionaries(dict.fromkeys(TOLD, ANY)), st.sampled_from(["common", "combined"]))
@example(dict.fromkeys(TOLD, '/" 200 1 "-" "-" rt=0\n10.0.0.1 - - [x] "GET /'), "combined")
@settings(max_examples=200, deadline=None)
def test_nothing_that_anybody_says_breaks_out_of_a_line_of_text(told: dict[str, str], form: str) -> None:
    line = FORMS[form].line(visit(**told), NOW)
    assert line.isascii()
    assert line.isprintable()
    parts = TEXT.fullmatch(line)
    assert parts, line
    safe = {name: text.replace('"', "%22") for name, text in told.items()}
    assert meant(parts["asked"]) == " ".join(filter(None, ("GET", safe["uri"], "HTTP/1.1")))
    for name in ("project", "service", "request", "worker"):
        assert meant(parts[name]) == (safe[name] or "-")
    assert meant(parts["error"] or "") == safe["error"]
    if form == "combined":
        assert [meant(parts[name]) for name in ("referer", "agent")] == [
            safe["referer"] or "-",
            safe["agent"] or "-",
        ]


@given(st.fixed_dictionaries(dict.fromkeys(TOLD, ANY)))
@settings(max_examples=200, deadline=None)
def test_a_line_of_json_is_read_back_as_it_was_told(told: dict[str, str]) -> None:
    line = FORMS["json"].line(visit(**told), NOW)
    assert line.isascii()
    assert line.isprintable()
    read = json.loads(line)
    assert {*read} == {*Visit._fields, "time"}
    for name in ("project", "service", "request", "worker", "error"):
        assert read[name] == told[name]
    assert datetime.datetime.fromisoformat(read["time"]).timestamp() == NOW
    times = [read[name] for name in ("seconds", "queue", "load", "render")]
    assert (times, read["size"], read["status"], read["cache"]) == ([0.25, 1.0, 2.5, 0.125], 7, 200, "none")


def test_headers_are_meant_to_be_utf8() -> None:
    said = "Zürich".encode().decode("latin-1")
    read = json.loads(FORMS["json"].line(visit(agent=said, referer="Zürich"), NOW))
    assert (read["agent"], read["referer"]) == ("Zürich", "Zürich")


@pytest.mark.parametrize("form", FORMS)
@given(
    uri=ANY, client=st.ip_addresses(), size=st.none() | st.integers(0), trace=st.sampled_from(["", "ab" * 16])
)
@settings(deadline=None)
def test_a_template_gives_the_line_of_each_visit(
    form: str, uri: str, client: object, size: int | None, trace: str
) -> None:
    """Kept answers are logged by the template of the first of them."""
    template = FORMS[form].template(visit(uri=uri))
    whole = visit(uri=uri, client=str(client), size=size, id="other", trace=trace)
    assert FORMS[form].fill(template, str(client), NOW, size, "other", trace) == FORMS[form].line(whole, NOW)


def test_what_is_not_known_is_a_dash() -> None:
    line = FORMS["combined"].line(visit(size=None), NOW)
    assert ' 200 - "-" "-" rt=' in line
    assert line.endswith(" project=- service=- request=- worker=- cache=none id=r-1")


def handler(uri: str = "/", *, method: str = "GET", took: float = 0.0, **facts: Any) -> ServiceHandler:
    """A finished one, as far as it is logged."""
    request = SimpleNamespace(
        method=method, uri=uri, version="HTTP/1.1", remote_ip="192.0.2.1", headers={"User-Agent": "test"}
    )
    made = ServiceHandler.__new__(ServiceHandler)
    told: dict[str, Any] = {
        "request": request, "request_id": "r-1", "details": {}, "_status_code": 200, "_headers": {},
        "started": time.monotonic() - took,
    }  # fmt: skip
    made.__dict__.update(told | facts)
    return made


@pytest.mark.parametrize(
    ("facts", "size"),
    [
        ({"_headers": {"Content-Length": "7"}}, 7),
        ({"sent": 9}, 9),
        ({}, None),
        ({"method": "HEAD", "_headers": {"Content-Length": "7"}}, None),
        ({"_status_code": 304, "_headers": {"Content-Length": "7"}}, None),
    ],
)
def test_the_size_is_that_of_the_body_that_was_sent(facts: dict[str, Any], size: int | None) -> None:
    assert visit_of(handler(**facts)).size == size


def test_whose_work_an_answer_was() -> None:
    assert visit_of(handler(details={"cached": True})).cache == "kept"
    assert visit_of(handler(details={"timing": Timing(1, 2, 3, shared=True)})).cache == "shared"
    seen = visit_of(handler(details={"timing": Timing(1, 2, 3), "worker": "m/3"}, failure="timeout"))
    assert (seen.cache, seen.queue, seen.load, seen.render, seen.worker, seen.error) == (
        "none", 1, 2, 3, "m/3", "timeout",
    )  # fmt: skip


# Where it goes.


def requests_in(path: Path) -> list[str]:
    return [line.split('"')[1] for line in path.read_text().splitlines()]


def test_each_request_is_a_line_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(LoggingSettings(access=str(path)))
    for uri in ("/a", "/%s%d", "/c\n/d"):
        log(handler(uri))
    assert requests_in(path) == ["GET /a HTTP/1.1", "GET /%s%d HTTP/1.1", "GET /c\\n/d HTTP/1.1"]


def test_the_form_can_change_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(LoggingSettings(access=str(path), access_format="common"))
    log(handler("/a"))
    log.configure(LoggingSettings(access_format="json"))
    log(handler("/b"))
    first, second = path.read_text().splitlines()
    assert "test" not in first
    assert (json.loads(second)["uri"], json.loads(second)["agent"]) == ("/b", "test")


def test_off_is_off_and_a_dash_is_the_log_file_or_stdout(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "qgsd.log"
    AccessLog(LoggingSettings(access="off", file=str(path)))(handler("/off"))
    assert not path.exists()
    AccessLog(LoggingSettings(access="-"))(handler("/stdout"))
    AccessLog(LoggingSettings(access="-", file=str(path)))(handler("/file"))
    assert [line.split()[6] for line in capfd.readouterr().out.splitlines()] == ["/stdout"]
    assert requests_in(path) == ["GET /file HTTP/1.1"]


def test_lines_that_wait_are_written_together_soon(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(LoggingSettings(access=str(path)))

    async def hits() -> list[str]:
        for number in range(3):
            log.write_soon(f"hit {number}")
        early = path.read_text()
        while not path.read_text():
            await asyncio.sleep(0.005)
        return [early, path.read_text()]

    assert asyncio.run(asyncio.wait_for(hits(), 5)) == ["", "hit 0\nhit 1\nhit 2\n"]


def test_after_the_signal_the_next_line_is_in_the_new_file(tmp_path: Path) -> None:
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    log = AccessLog(LoggingSettings(access=str(path)))
    log(handler("/a"))
    path.rename(old)
    log.reopen()
    log(handler("/b"))
    assert (requests_in(old), requests_in(path)) == (["GET /a HTTP/1.1"], ["GET /b HTTP/1.1"])


def test_a_file_moved_away_without_a_word_is_noticed(tmp_path: Path) -> None:
    path, old = tmp_path / "log", tmp_path / "log.1"
    file = LogFile(str(path))
    path.rename(old)
    until = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < until
        file.write(b"line\n")
        time.sleep(0.05)
    assert path.read_bytes() == b"line\n"
    file.close()


def test_without_a_folder_the_old_file_is_written_to(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log = AccessLog(LoggingSettings(access=str(folder / "access.log")))
    kept = tmp_path / "kept"
    (folder / "access.log").rename(kept)
    shutil.rmtree(folder)
    log.reopen()
    log(handler("/a"))
    assert requests_in(kept) == ["GET /a HTTP/1.1"]


def test_a_full_disk_fails_no_request_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    log = AccessLog(LoggingSettings(access="/dev/full"))
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            log(handler("/a"))
    assert [record.getMessage() for record in caplog.records] == [
        "1 lines of the access log are lost: /dev/full: No space left on device"
    ]


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        AccessLog(LoggingSettings(access=str(tmp_path / "nowhere" / "access.log")))


# Slow requests.


@pytest.mark.parametrize(("slow", "took", "told"), [(2, 3, True), (2, 1, False), (0, 3, False)])
def test_a_slow_request_is_told_with_where_the_time_went(
    slow: float, took: float, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    timing = Timing(1, 0.5, 1.25)
    with caplog.at_level(logging.WARNING):
        SlowLog(LoggingSettings(slow=slow))(
            handler("/ows/?A=\n", took=took, details={"timing": timing, "project": "town", "worker": "3"})
        )
    lines = [record.getMessage() for record in caplog.records]
    assert bool(lines) == told
    if told:
        assert lines[0].startswith("slow request: GET /ows/?A=\\n: status 200 rt=3.")
        assert " queue=1.000 load=0.500 render=1.250 project=town " in lines[0]
        assert lines[0].endswith(" worker=3 cache=none id=r-1")


# What people are told.


def test_every_field_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "logs.md").read_text()
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| `")]
    in_json, in_text = (
        {name for row in rows for name in re.findall(r"`(\w+)`", row[column])} for column in (0, 1)
    )
    assert in_json == {*Visit._fields, "time"}
    line = FORMS["combined"].line(visit(trace="ab", error="timeout"), NOW)
    assert in_text == set(re.findall(r" (\w+)=", line))


def test_the_examples_of_the_documentation_have_every_field() -> None:
    page = (Path(__file__).parents[2] / "docs" / "logs.md").read_text().splitlines()
    example = json.loads(next(line for line in page if line.startswith('{"time"')))
    assert [*example] == [*json.loads(FORMS["json"].line(visit(), NOW))]
    text = next(line for line in page if line.startswith("127.0.0.1 - - "))
    assert re.findall(r" (\w+)=", text) == re.findall(r" (\w+)=", FORMS["combined"].line(visit(), NOW))
