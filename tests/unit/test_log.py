# SPDX-License-Identifier: GPL-2.0-or-later
"""Logging from a child's record to the master's line."""

from __future__ import annotations

import io
import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from qgsd import log

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
    assert log.parse_line(line)[:2] == parsed


@given(st.text(max_size=100))
@settings(deadline=None)
def test_any_line_is_read(line: str) -> None:
    level, text, is_record = log.parse_line(line)
    assert is_record == (text != line)
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
    assert [log.parse_line(line)[:2] for line in lines] == wanted


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
    status = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    log.MasterLog("info", "")
    logging.getLogger("qgsd.http 0").error("one\ntwo")
    assert taken(stderr) == "<3>qgsd.http 0: one\n<3>two\n"


def test_what_is_redirected_away_from_the_journal_has_the_time(
    stderr: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", f"{os.fstat(2).st_dev}:1")
    log.MasterLog("info", "")
    logging.getLogger("qgsd.http 0").error("one")
    assert taken(stderr).endswith(" ERROR   qgsd.http 0: one\n")


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


def test_a_folder_that_goes_away_costs_the_master_nothing_but_the_log(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    master = log.MasterLog("info", str(folder / "qgsd.log"))
    shutil.rmtree(folder)
    master.reopen()
    logging.getLogger("qgsd").info("lost")
    folder.mkdir()
    master.reopen()
    logging.getLogger("qgsd").info("found, with a lone surrogate: \udcff")
    assert (folder / "qgsd.log").read_text().endswith(": found, with a lone surrogate: \\udcff\n")


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        log.MasterLog("info", str(tmp_path / "nowhere" / "qgsd.log"))
