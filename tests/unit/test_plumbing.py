# SPDX-License-Identifier: GPL-2.0-or-later
"""The small parts between processes: channel, messages, scoreboard, log, notifications, error bodies."""

from __future__ import annotations

import json
import logging
import os
import socket
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qgsd import channel, log, messages
from qgsd.channel import ChannelClosed, ChildEnd, MasterEnd
from qgsd.errors import StartError
from qgsd.master.notify import Notifier
from qgsd.master.pidfile import PidFile
from qgsd.proxy.http import errors
from qgsd.scoreboard import ROWS, Scoreboard, State


@pytest.fixture
def ends():  # type: ignore[no-untyped-def]
    ours, theirs = channel.pair()
    master, child = MasterEnd(ours), ChildEnd(theirs)
    yield master, child
    master.close()
    child.close()


# Channel.


def test_orders_arrive_in_order_with_their_descriptors(ends, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    master, child = ends
    with (tmp_path / "file").open("w+b") as file:
        master.send(messages.Fork(3, "/tmp/x"), [file.fileno()])
        master.send(messages.Drain(2.0))
        order, (copy,) = child.receive()
        assert order == messages.Fork(3, "/tmp/x")
        os.write(copy, b"through")
        os.close(copy)
        file.seek(0)
        assert file.read() == b"through"
    assert child.receive() == (messages.Drain(2.0), [])
    assert child.receive(wait=False) is None


def test_reports_arrive_and_the_master_never_waits(ends) -> None:  # type: ignore[no-untyped-def]
    master, child = ends
    assert master.receive() is None
    child.send(messages.Happened("e", "why", {"slot": 1}))
    assert master.receive() == messages.Happened("e", "why", {"slot": 1})


def test_the_end_of_either_side_is_noticed(ends) -> None:  # type: ignore[no-untyped-def]
    master, child = ends
    child.send(messages.Ready({"a": "b"}))
    child.close()
    assert master.receive() == messages.Ready({"a": "b"})
    with pytest.raises(ChannelClosed):
        master.receive()
    with pytest.raises(ChannelClosed):
        master.send(messages.Drain())


def test_a_child_that_does_not_read_is_not_waited_for(ends) -> None:  # type: ignore[no-untyped-def]
    master, _ = ends

    def flood() -> None:
        for _ in range(100_000):
            master.send(messages.Configure(b"x" * 1000))

    with pytest.raises(ChannelClosed, match="does not read"):
        flood()


def test_a_child_that_talks_nonsense_counts_as_gone() -> None:
    ours, theirs = channel.pair()
    master = MasterEnd(ours)
    theirs.send(b"\xc1 nonsense")
    with pytest.raises(ChannelClosed, match="no report"):
        master.receive()
    master.close()
    theirs.close()


# Messages.


@pytest.mark.parametrize(
    ("message", "decode"),
    [
        (
            messages.Request("1", "p", "GET", "u", [("a", "b")], "WMS", "GetMap", True, 2.5),
            messages.decode_from_http,
        ),
        (
            messages.Answer("1", 200, [("a", "b")], messages.Timing(1, 2, 3), "0", True),
            messages.decode_to_http,
        ),
        (messages.Assignment(0.5, 3.0, 1), messages.decode_to_worker),
        (messages.WorkerLost("w", "why"), messages.decode_from_worker),
    ],
)
def test_messages_come_back_as_they_were(message, decode) -> None:  # type: ignore[no-untyped-def]
    assert decode(messages.encode(message)) == message


@given(st.binary(max_size=200))
def test_other_bytes_are_no_message(data: bytes) -> None:
    for decode in (messages.decode_from_http, messages.decode_from_worker, messages.decode_to_worker):
        try:
            decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue


# Scoreboard.


def test_rows_are_shared_through_the_descriptor() -> None:
    board = Scoreboard.create()
    other = Scoreboard(os.dup(board.descriptor))
    board.row(5).requests = 7
    board.row(5).state = State.BUSY
    board.row(5).project = "a/b"
    assert (other.row(5).requests, other.row(5).state, other.row(5).project) == (7, State.BUSY, "a/b")
    other.row(5).clear()
    assert (board.row(5).requests, board.row(5).state, board.row(5).project) == (0, State.FREE, "")
    with pytest.raises(IndexError):
        board.row(ROWS)


@given(st.text(max_size=300))
def test_any_project_name_fits_a_row(name: str) -> None:
    row = Scoreboard.create().row(1)
    name = name.replace("\x00", "").encode("utf-8", "ignore").decode()
    row.project = name
    assert name.startswith(row.project)
    assert row.project == name or len(row.project.encode()) > 110


# Log lines.


@pytest.mark.parametrize(
    ("line", "parsed"),
    [
        ("<6>told", (logging.INFO, "told")),
        ("<3>bad", (logging.ERROR, "bad")),
        ("ERROR 1: from GDAL", (logging.WARNING, "ERROR 1: from GDAL")),
        ("<x>no priority", (logging.WARNING, "<x>no priority")),
    ],
)
def test_lines_of_children_have_a_level(line: str, parsed: tuple[int, str]) -> None:
    assert log.parse_line(line)[:2] == parsed


# Telling systemd.


@pytest.mark.parametrize("abstract", [False, True])
def test_notifications_reach_the_service_manager(tmp_path: Path, abstract: bool) -> None:
    address = f"@qgsd-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + address[1:] if abstract else address)
        manager.settimeout(10)
        environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000", "PATH": "x"}
        notifier = Notifier(environ)
        assert environ == {"PATH": "x"}, "children must not speak for the master"
        assert notifier.watchdog_seconds == 3.0
        notifier.ready()
        notifier.status("one")
        notifier.status("one")
        notifier.alive()
        seen = [manager.recv(1000).decode() for _ in range(3)]
    assert seen == [f"READY=1\nMAINPID={os.getpid()}", "STATUS=one", "WATCHDOG=1"]


def test_without_a_service_manager_nothing_is_sent() -> None:
    notifier = Notifier({"WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"})
    assert notifier.watchdog_seconds is None
    notifier.ready()


# The pidfile.


def test_the_pidfile_is_a_lock(tmp_path: Path) -> None:
    first = PidFile(tmp_path / "q.pid")
    first.write("ipc:///x")
    (first.directory / "left").write_text("over")
    with pytest.raises(StartError, match=f"pid {os.getpid()}"):
        PidFile(tmp_path / "q.pid")
    assert (first.directory / "left").exists(), "the refused one must not touch what is in use"
    first.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_master_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "q.pid").write_text("1\n")
    (tmp_path / "q.run").mkdir()
    (tmp_path / "q.run" / "stale").write_text("x")
    again = PidFile(tmp_path / "q.pid")
    assert list(again.directory.iterdir()) == []
    again.remove()


# Error bodies.


@given(st.text(), st.text())
def test_an_exception_report_is_xml_whatever_it_says(code: str, message: str) -> None:
    kind, body = errors.as_ogc_report(code, "".join(c for c in message if c.isprintable()))
    assert kind.startswith("text/xml")
    root = ElementTree.fromstring(body) if code.isprintable() else None
    assert root is None or root.tag.endswith("ServiceExceptionReport")


@given(st.text(), st.text())
def test_a_json_error_says_code_message_and_id(code: str, message: str) -> None:
    try:
        kind, body = errors.as_json(code, message, "r1")
    except UnicodeEncodeError:
        return
    assert kind == "application/json"
    assert json.loads(body) == {"error": {"code": code, "message": message}, "request_id": "r1"}
