# SPDX-License-Identifier: GPL-2.0-or-later
"""Stamps of served projects, where `test_projects_history` does not look: other code, and coming back."""

from __future__ import annotations

from qgsd import messages
from qgsd.proxy.announcer import Announcer
from qgsd.proxy.http.current import Current
from qgsd.proxy.projects import Projects
from qgsd.proxy.served import Served
from qgsd.scoreboard import Scoreboard, State

WORKER = b"w"


def _open(projects: Projects, key: str, version: str) -> None:
    project = projects.known(key)
    project.version = version
    projects.opened(WORKER, project, project.generation, 0.0)


def _projects(*keys: str) -> Projects:
    projects = Projects()
    projects.joined(WORKER)
    for key in keys:
        _open(projects, key, "v1")
    return projects


def test_a_project_has_a_stamp_while_it_is_open_and_its_old_one_when_it_is_back_unchanged() -> None:
    projects, served = _projects("a"), Served(100)
    ((_, stamp, _),) = served.changes(projects).values()
    assert stamp > 100
    assert served.serial == 100, "nobody can have known it before"
    projects.closed(WORKER, "a", 0)
    assert served.changes(projects) == {"a": (0, 0, "")}
    assert served.serial == 101
    _open(projects, "a", "v1")
    assert served.changes(projects) == {"a": (1, stamp, "v1")}
    projects.closed(WORKER, "a", 0)
    served.changes(projects)
    _open(projects, "a", "v2")
    assert served.changes(projects)["a"][1] > stamp


def test_a_version_that_nobody_knows_is_not_the_same_again() -> None:
    projects, served = Projects(), Served(100)
    projects.joined(WORKER)
    _open(projects, "a", "")
    stamp = served.changes(projects)["a"][1]
    projects.closed(WORKER, "a", 0)
    served.changes(projects)
    _open(projects, "a", "")
    assert served.changes(projects)["a"][1] > stamp


def test_other_code_makes_other_stamps_the_same_code_none() -> None:
    projects, served = _projects("a"), Served(100)
    before = served.changes(projects)
    assert served.joined("", "code1", [])
    after = served.all()
    assert after["a"][1] > before["a"][1]
    serial = served.serial
    assert not served.joined("", "code1", [])
    assert (served.all(), served.serial) == (after, serial)
    assert served.joined("", "code2", ["X-User"])
    # A worker of the old template joins once more, while the new one takes over.
    assert not served.joined("", "code1", [])
    assert (served.codes, served.depends) == (["code2"], ["x-user"])


def test_machines_with_a_plugin_that_does_not_tell_spoil_it_for_all() -> None:
    served = Served(1)
    served.joined("one", "a", ["X-User"])
    served.joined("two", "b", ["X-Group"])
    assert served.depends == ["x-group", "x-user"]
    served.joined("three", "c", None)
    assert served.depends is None


def _answer(code: str, generation: int, version: str = "v1") -> messages.Answer:
    return messages.Answer("1", 200, [], messages.Timing(), "0", True, code, generation, version)


def test_an_http_child_knows_nothing_until_it_has_heard_of_the_last_change() -> None:
    board, projects = Scoreboard.create(), _projects("a")
    told: list[messages.Serving] = []
    announcer = Announcer(projects, board.row(7), 7, told.append)
    announcer.joined(messages.Join(messages.PROTOCOL, "", "", 0, 1, code="c", depends=[]))
    announcer.tell()
    current = Current(board)
    assert current.stamp("a") == 0
    current.heard(announcer.state())
    stamp = current.stamp("a")
    assert stamp
    assert current.stamp_of("a", _answer("c", 1)) == stamp
    assert current.stamp_of("a", _answer("c", 1, "v0")) == 0, "another worker found something else there"
    assert current.stamp_of("a", _answer("old", 1)) == current.stamp_of("a", _answer("c", 2)) == 0

    told.clear()
    projects.known("a").generation = 2
    projects.known("a").version = "v2"
    projects.opened(WORKER, projects.known("a"), 2, 1.0)
    announcer.tell()
    assert current.stamp("a") == 0, "told in shared memory, not heard yet"
    assert current.heard(told[0]) == ["a"]
    assert current.stamp("a") > stamp
    board.row(7).state = State.DRAINING
    assert current.stamp("a") == 0, "its successor may know better"


def test_nothing_is_known_of_answers_that_nobody_vouches_for() -> None:
    board, projects = Scoreboard.create(), _projects("a")
    announcer = Announcer(projects, board.row(1), 1, lambda told: None)
    announcer.joined(messages.Join(messages.PROTOCOL, "", "", 0, 1, code="c", depends=None))
    announcer.tell()
    current = Current(board)
    current.heard(announcer.state())
    assert current.stamp("a") == 0
    assert current.stamp_of("a", _answer("c", 1)) == 0
