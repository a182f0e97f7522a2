# SPDX-License-Identifier: GPL-2.0-or-later
"""The pidfile: one master an instance, whatever happens to the others; real locks, real processes."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from qgsd.control import locate
from qgsd.errors import StartError
from qgsd.master import pidfile
from qgsd.master.pidfile import PidFile

HOLDER = """
import sys
from pathlib import Path
from qgsd.master.pidfile import PidFile
held = PidFile(Path(sys.argv[1]))
held.write("ipc:///of/another")
(held.directory / "socket").write_text("in use")
print("held", flush=True)
sys.stdin.read()
held.remove()
"""


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pidfile, "_PATIENCE", 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "maps.pid"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that is the master of this instance; it goes when its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_it_says_who_the_master_is_and_where_commands_go(path: Path) -> None:
    held = PidFile(path)
    assert locate.is_live(path)
    assert locate.read_pidfile(path) == (None, None)
    held.write("ipc:///a/long/address")
    held.write("ipc:///b")
    assert path.read_text() == f"{os.getpid()}\nipc:///b\n"
    assert locate.control_of(path) == "ipc:///b"
    assert held.directory == path.with_name("maps.run")
    assert held.directory.stat().st_mode & 0o077 == 0o011
    held.remove()


def test_it_leaves_nothing_behind(path: Path) -> None:
    held = PidFile(path)
    held.write("ipc:///x")
    (held.directory / "tmp").mkdir()
    (held.directory / "tmp" / "file").write_text("x")
    held.remove()
    assert list(path.parent.iterdir()) == []
    assert not locate.is_live(path)


def test_it_can_be_removed_though_somebody_did_so_before(path: Path) -> None:
    held = PidFile(path)
    held.directory.rmdir()
    path.unlink()
    held.remove()
    assert list(path.parent.iterdir()) == []


def test_another_process_that_holds_it_is_named_and_left_alone(
    path: Path, holder: subprocess.Popen[str]
) -> None:
    for _ in range(2):
        with pytest.raises(StartError, match=rf"runs already \(pid {holder.pid}, pidfile {path}\)"):
            PidFile(path)
    assert locate.read_pidfile(path) == (holder.pid, "ipc:///of/another")
    assert (path.with_name("maps.run") / "socket").read_text() == "in use"


def test_after_sigkill_the_next_one_starts_and_clears_up(path: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()
    assert path.exists()
    assert not locate.is_live(path)
    held = PidFile(path)
    assert locate.is_live(path)
    assert list(held.directory.iterdir()) == []
    held.remove()


def test_after_a_proper_end_the_next_one_starts(path: Path, holder: subprocess.Popen[str]) -> None:
    assert holder.stdin is not None
    holder.stdin.close()
    assert holder.wait(60) == 0
    held = PidFile(path)
    held.write("ipc:///x")
    assert locate.read_pidfile(path).pid == os.getpid()
    held.remove()


def test_it_is_patient_with_one_that_is_just_leaving(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leaving = PidFile(path)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        leaving.remove()

    monkeypatch.setattr(pidfile, "_PATIENCE", 1000.0)
    monkeypatch.setattr(pidfile, "time", SimpleNamespace(monotonic=lambda: float(len(waits)), sleep=sleep))
    held = PidFile(path)
    assert len(waits) == 1
    assert locate.is_live(path)
    held.remove()


def test_one_that_does_not_leave_is_waited_for_no_longer_than_that(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = PidFile(path)
    waits: list[float] = []
    monkeypatch.setattr(pidfile, "_PATIENCE", 10.0)
    clock = SimpleNamespace(monotonic=lambda: float(len(waits)), sleep=waits.append)
    monkeypatch.setattr(pidfile, "time", clock)
    with pytest.raises(StartError, match="runs already"):
        PidFile(path)
    assert 0 < len(waits) <= 10
    assert locate.is_live(path)
    held.remove()


def test_removing_leaves_a_successor_alone(path: Path) -> None:
    first = PidFile(path)
    path.unlink()
    second = PidFile(path)
    (second.directory / "socket").write_text("in use")
    first.remove()
    assert locate.is_live(path)
    assert (second.directory / "socket").exists()
    second.remove()
    third = PidFile(path)
    second.remove()
    assert locate.is_live(path)
    third.remove()


def test_the_lock_of_a_file_that_was_just_removed_is_worth_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving = [PidFile(path)]

    def flock(file: object, how: int) -> None:
        if leaving:
            leaving.pop().remove()
        fcntl.flock(file, how)  # type: ignore[arg-type]

    slow = SimpleNamespace(flock=flock, LOCK_EX=fcntl.LOCK_EX, LOCK_NB=fcntl.LOCK_NB)
    monkeypatch.setattr(pidfile, "fcntl", slow)
    held = PidFile(path)
    held.write("ipc:///x")
    assert leaving == []
    assert locate.is_live(path)
    assert locate.read_pidfile(path).pid == os.getpid()
    with pytest.raises(StartError, match="runs already"):
        PidFile(path)
    held.remove()


def test_someone_who_merely_looks_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir()
    with path.open("w+") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        unlock = SimpleNamespace(monotonic=lambda: 0.0, sleep=lambda _: fcntl.flock(looking, fcntl.LOCK_UN))
        monkeypatch.setattr(pidfile, "_PATIENCE", 0.5)
        monkeypatch.setattr(pidfile, "time", unlock)
        PidFile(path).remove()


@pytest.mark.parametrize("content", ["", "1\n", "garbage", "\x00" * 100, "-5\nipc:///old\n"])
def test_what_a_stale_file_says_does_not_matter(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    held = PidFile(path)
    held.write("ipc:///new")
    assert locate.read_pidfile(path) == (os.getpid(), "ipc:///new")
    held.remove()


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StartError, match="cannot write the pidfile"):
        PidFile(tmp_path / "file" / "maps.pid")
    (tmp_path / "maps.pid").mkdir()
    with pytest.raises(StartError, match="cannot write the pidfile"):
        PidFile(tmp_path / "maps.pid")


@pytest.mark.parametrize("in_the_way", ["file", "link"])
def test_a_directory_that_cannot_be_used_is_told_and_never_followed(path: Path, in_the_way: str) -> None:
    path.parent.mkdir()
    precious = path.parent / "precious"
    precious.mkdir()
    (precious / "data").write_text("x")
    if in_the_way == "link":
        path.with_name("maps.run").symlink_to(precious)
    else:
        path.with_name("maps.run").write_text("x")
    with pytest.raises(StartError, match="cannot use"):
        PidFile(path)
    assert (precious / "data").read_text() == "x"
    assert not path.exists()
    assert not locate.is_live(path)
