# SPDX-License-Identifier: GPL-2.0-or-later
"""What a server under test must be able to do. Add one: a module here, a line in `servers.known`."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench import clients
from bench.load import HOST, Load, Request, Result

START_SECONDS = 60.0
STOP_SECONDS = 8.0


@dataclass(frozen=True)
class Setting:
    """`root`: folder of projects; `cache`: how many of them a worker keeps open, where that can be said.
    `metatiles`: so many neighbouring tiles are drawn as one, where that can be.

    `responses`: answers are cached, where that can be. `apart`: a name for servers of their own, for
    work that servers remember (in qgsd no project takes all workers for a minute after another one was asked
    for).
    """

    root: Path
    workers: int = 2
    cache: int = 20
    responses: bool = False
    metatiles: int = 0
    apart: str = ""


def environment() -> dict[str, str]:
    """That of every server. The seed of Qt's hashes gives XML attributes the same order everywhere."""
    return os.environ | {"QT_QPA_PLATFORM": "offscreen", "QT_HASH_SEED": "0"}


class ServerFailed(Exception):
    """It does not start, or it does not answer; the text has the end of its log."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Server(ABC):
    """One that speaks HTTP, with a folder of its own for what it writes."""

    name: str
    # It writes pictures of QGIS's pixels in bytes of its own; it is measured by workloads of pictures only.
    own_pictures = False
    # Seconds from its start until all workers are there and may die.
    settling = 1.5

    def __init__(self, folder: Path, setting: Setting) -> None:
        self.folder = folder
        self.setting = setting
        self.port = free_port()
        self.processes: list[subprocess.Popen[bytes]] = []
        folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def missing(cls) -> str:
        """What is not installed, in words; empty when all is there."""
        return ""

    @abstractmethod
    def launch(self) -> None:
        """Start its processes; it need not answer yet."""

    @abstractmethod
    def worker_pids(self) -> list[int]:
        """The processes that run QGIS for requests."""

    # Its life.

    def start(self, probe: Request) -> float:
        """Start it; the seconds until it has answered `probe`. Raises `ServerFailed`."""
        began = time.perf_counter()
        try:
            self.launch()
            self.wait_for(probe)
        except BaseException:
            self.stop()
            raise
        return time.perf_counter() - began

    def wait_for(self, probe: Request, seconds: float = START_SECONDS) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for process in self.processes:
                if process.poll() is not None:
                    raise ServerFailed(f"{self.name} has ended:\n{self.log_text()}")
            if self.answers(probe):
                return
            time.sleep(0.005)
        raise ServerFailed(f"{self.name} does not answer {probe.path}:\n{self.log_text()}")

    def answers(self, probe: Request, seconds: float = 5.0) -> bool:
        try:
            return self.fetch(probe, seconds)[0] == probe.status
        except (OSError, http.client.HTTPException):
            return False

    def fetch(self, request: Request, seconds: float = 60.0) -> tuple[int, dict[str, str], bytes]:
        """Status, headers by name in small letters, and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request("GET", request.path, headers={"Host": HOST, **dict(request.headers)})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def spawn(
        self, line: list[str], *, stdin: int = subprocess.DEVNULL, cwd: Path | None = None
    ) -> subprocess.Popen[bytes]:
        log = (self.folder / "log").open("ab")
        process = subprocess.Popen(
            line, stdin=stdin, stdout=log, stderr=log, env=environment(), cwd=cwd or self.folder
        )
        log.close()
        self.processes.append(process)
        return process

    def stop(self) -> None:
        """End its processes, gently first, and whatever they have started."""
        family = self.family()
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()
        for member in family:
            if member.is_running():
                member.kill()

    def log_text(self) -> str:
        log = self.folder / "log"
        return log.read_text(errors="replace")[-2000:] if log.exists() else ""

    # What it is made of.

    def family(self) -> list[psutil.Process]:
        """All its processes."""
        found = []
        for process in self.processes:
            try:
                parent = psutil.Process(process.pid)
                found += [parent, *parent.children(recursive=True)]
            except psutil.NoSuchProcess:
                continue
        return found

    def pss(self) -> int:
        """Bytes of memory of all its processes, what they share counted once (proportional set size)."""
        return sum(pss_of(member.pid) for member in self.family())

    def kill_workers(self) -> None:
        for pid in self.worker_pids():
            os.kill(pid, signal.SIGKILL)

    # Asking it.

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def run(self, load: Load) -> list[Result]:
        return clients.closed_loop(self.address, load)

    def repeat(self, request: Request, body: bytes, connections: int, seconds: float) -> Result:
        """One request again and again; `body` is the right answer."""
        return clients.wrk(self.address, request, body, connections, seconds)


def pss_of(pid: int) -> int:
    """Bytes, 0 when the process has gone."""
    try:
        for row in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if row.startswith("Pss:"):
                return int(row.split()[1]) * 1024
    except OSError:
        return 0
    return 0
