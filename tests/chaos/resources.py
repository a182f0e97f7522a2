# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults of resources that run out: room for temporary files, descriptors of a worker, of an http child."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.chaos.fault import Place, Target
from tests.integration.instance import GET_MAP, ows_path
from tests.waiting import wait_for

_ZIPPED = ows_path("zipped", **GET_MAP)
_SMALL_LIMIT = 64
_CONNECTIONS = 100


# The disk.


def cannot_mount() -> str:
    if os.geteuid() != 0:
        return "only root can mount a small disk"
    tried = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, text=True
    )
    return f"mounting is not permitted here: {tried.stderr.strip()}" if tried.returncode else ""


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Place]:
    """All that the instance writes lies on it: its folders, sockets, log, temporary files of all children."""
    disk = folder / "disk"
    disk.mkdir()
    options = "size=16m,nr_inodes=400,mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(disk)], check=True)
    try:
        yield Place(disk / "i", {"TMPDIR": str(disk)})
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def zip_project(target: Target) -> None:
    """A project that needs room to be opened."""
    subprocess.run(
        [sys.executable, "-m", "zipfile", "-c", "zipped.qgz", "world.qgs"], cwd=target.projects, check=True
    )


def fill_disk(target: Target) -> None:
    """In turns: no room, a worker dies and one more is wanted; the zipped project is; there is room again."""
    ballast = target.place.folder.parent / "ballast"
    master = psutil.Process(target.instance.pid)
    match target.struck % 3:
        case 0:
            target.before.setdefault("descriptors", master.num_fds())
            _fill(ballast, target)
            os.kill(target.random.choice(target.children("worker")).pid, signal.SIGKILL)
            target.instance.signal("TTIN")
        case 1:
            answer = target.instance.get(_ZIPPED)
            assert answer.status in (200, 422), answer.text
        case 2:
            _empty(ballast)
            wait_for("the third worker", lambda: len(target.children("worker")) == 3)
            target.instance.signal("TTOU")
            wait_for("two workers again", lambda: len(target.children("worker")) == 2)
            wait_for("the zipped project", lambda: target.instance.get(_ZIPPED).status == 200)
            told = "the master keeps no descriptors of workers that could not be started"
            wait_for(told, lambda: master.num_fds() <= target.before["descriptors"], 10)


def _fill(ballast: Path, target: Target) -> None:
    """Of bytes, or of files, or of both there is not one more."""
    kinds = target.random.choice([("bytes",), ("files",), ("bytes", "files")])
    ballast.mkdir()
    target.stack.callback(_empty, ballast)
    with contextlib.suppress(OSError), (ballast / "bytes").open("wb", buffering=0) as file:
        while "bytes" in kinds:
            file.write(bytes(4096))
    with contextlib.suppress(OSError):
        for number in range(1000 if "files" in kinds else 0):
            (ballast / str(number)).touch()


def _empty(ballast: Path) -> None:
    if ballast.exists():
        for file in ballast.iterdir():
            file.unlink()
        ballast.rmdir()


# Descriptors.


def leak_descriptors(target: Target) -> None:
    """Some thousands, or all at once: the worker must be gone before it answers from files it cannot open."""
    number = target.random.choice([3000, 1_000_000])
    fresh = f"fresh{target.struck}"
    shutil.copy(target.projects / "world.qgs", target.projects / f"{fresh}.qgs")
    answer = target.instance.get(ows_path(SERVICE="PROBE", REQUEST="descriptors", VALUE=str(number)))
    assert answer.status == 200, answer.text
    told = answer.json()
    if "error" not in told:
        return
    # By as many as there are workers, each of which has to open it.
    for _ in range(4):
        answer = target.instance.get(ows_path(fresh, **GET_MAP))
        assert answer.status == 200, answer.text
    wait_for("the worker has gone", lambda: not psutil.pid_exists(told["pid"]), 10)


def take_connections(target: Target) -> None:
    """More clients than the http child can have; some leave, others come. Whoever waits gets an answer."""
    (http,) = target.children("http")
    http.rlimit(resource.RLIMIT_NOFILE, (_SMALL_LIMIT, _SMALL_LIMIT))
    while len(target.sockets) < _CONNECTIONS:
        target.connect("/ping")
    wait_for("it has all it takes", lambda: http.num_fds() >= _SMALL_LIMIT - 20)
    # As long as its crowd is served now, it must have room for what serving needs.
    assert target.instance.log_text.count("Too many open files") == 0
    assert http.num_fds() < _SMALL_LIMIT, "it has left itself no descriptor"
    for client in target.random.sample(target.sockets, _CONNECTIONS - 10):
        target.sockets.remove(client)
        client.close()
    for client in target.sockets:
        assert client.recv(17).startswith(b"HTTP/1.1 200")
        client.close()
    target.sockets.clear()
    assert target.instance.get("/ping").status == 200
