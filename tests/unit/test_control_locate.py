# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding the local instance: pidfiles that are really locked, in a directory of the test's own."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from qgsd.control import NoMaster, locate
from qgsd.control.errors import BadUsage


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(locate, "runtime_directory", lambda: tmp_path)
    return tmp_path


@contextlib.contextmanager
def living(pidfile: Path, *lines: str) -> Iterator[None]:
    with pidfile.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("".join(f"{line}\n" for line in lines))
        file.flush()
        yield


def test_the_runtime_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert locate.runtime_directory() == Path("/run/qgsd")
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1234")
    assert locate.runtime_directory() == Path("/run/user/1234/qgsd")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert locate.runtime_directory() == Path("/tmp/qgsd-1234")


def test_the_address_in_use_is_that_of_the_pidfile(directory: Path) -> None:
    with living(directory / "qgsd.pid", "123", "tcp://127.0.0.1:7000"):
        assert locate.find_control() == "tcp://127.0.0.1:7000"
        assert locate.read_pidfile(directory / "qgsd.pid") == (123, "tcp://127.0.0.1:7000")


@pytest.mark.parametrize("lines", [[], ["123"], ["123", ""], ["what", " "]])
def test_the_usual_address_where_the_pidfile_says_none(directory: Path, lines: list[str]) -> None:
    with living(directory / "qgsd.pid", *lines):
        assert locate.find_control() == f"ipc://{directory}/qgsd.run/control"


def test_an_unlocked_pidfile_is_of_the_dead(directory: Path) -> None:
    (directory / "qgsd.pid").write_text(f"{os.getpid()}\nipc:///x\n")
    with pytest.raises(NoMaster, match=r"no instance of qgsd runs.*qgsd start"):
        locate.find_control()
    with pytest.raises(NoMaster, match="pidfile"):
        locate.control_of(directory / "qgsd.pid")


def test_looking_does_not_keep_the_lock(directory: Path) -> None:
    (directory / "qgsd.pid").touch()
    assert not locate.is_live(directory / "qgsd.pid")
    with (directory / "qgsd.pid").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_only_one_needs_no_name(directory: Path) -> None:
    (directory / "dead.pid").touch()
    with living(directory / "maps.pid", "1"):
        assert locate.find_control() == f"ipc://{directory}/maps.run/control"
        assert locate.find_control("maps") == locate.find_control()
        with pytest.raises(NoMaster, match="qgsd start --instance other"):
            locate.find_control("other")


def test_several_must_be_chosen_from_unless_one_is_the_default(directory: Path) -> None:
    with living(directory / "a.pid", "1"), living(directory / "b.pid", "2"):
        with pytest.raises(BadUsage, match=r"\(a, b\): say --instance"):
            locate.find_control()
        with living(directory / "qgsd.pid", "3"):
            assert locate.find_control() == f"ipc://{directory}/qgsd.run/control"


@pytest.mark.parametrize("name", ["", ".", "../x", "a/b", ".hidden", "a b", "x" * 80])
def test_impossible_names(directory: Path, name: str) -> None:
    with pytest.raises(BadUsage, match="cannot name an instance"):
        locate.find_control(name)


def test_no_directory_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(locate, "runtime_directory", lambda: tmp_path / "none")
    with pytest.raises(NoMaster):
        locate.find_control()


def test_a_directory_that_someone_else_made_is_not_trusted(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = directory.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1 if owner else 0)
    directory.parent.chmod(0o1777)
    if owner == 0:
        os.chown(directory, 12345, -1)
    with living(directory / "qgsd.pid", "1"), pytest.raises(NoMaster):
        locate.find_control()
    with pytest.raises(BadUsage, match="another user"):
        locate.make_runtime_directory()


def test_the_directory_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(locate, "runtime_directory", lambda: tmp_path / "run" / "qgsd")
    assert locate.make_runtime_directory().is_dir()
    assert locate.make_runtime_directory().is_dir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root trusts what it has given to another user")
def test_root_trusts_a_directory_that_only_root_can_have_made(directory: Path) -> None:
    """As /run/qgsd, which systemd makes for the user of the unit."""
    directory.parent.chmod(0o755)
    os.chown(directory, 12345, -1)
    with living(directory / "qgsd.pid", "1"):
        assert locate.live_instances() == ["qgsd"]
