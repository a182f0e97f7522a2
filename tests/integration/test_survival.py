# SPDX-License-Identifier: GPL-2.0-or-later
"""The death of an http child, and that of the master under a service manager that keeps its socket."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.instance import BIN, GET_MAP, Instance, ows_path
from tests.waiting import wait_for

PLUGINS = Path(__file__).parents[1] / "plugins"
TILE = ows_path(**GET_MAP)
Launch = Callable[..., Instance]


def connect(port: int) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.connect()
    return connection


def ask(connection: http.client.HTTPConnection, path: str = "/ping") -> int:
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def _owned_by(process: psutil.Process, connections: list[http.client.HTTPConnection]) -> set[int]:
    """Which of the clients the process serves, by the numbers of their ports."""
    peers = {c.raddr.port for c in process.net_connections("tcp") if c.raddr}
    return peers & {connection.sock.getsockname()[1] for connection in connections}


def test_a_killed_http_child_takes_only_its_own_connections(launch: Launch, projects: Path) -> None:
    instance = launch("--rootdir", str(projects), "-j", "2")
    port = instance.port
    (victim, sibling) = [psutil.Process(r["pid"]) for r in instance.ctl_json("ps") if r["role"] == "http"]
    clients: list[http.client.HTTPConnection] = []

    def both_have_some() -> bool:
        clients.extend(connect(port) for _ in range(4))
        assert all(ask(client) == 200 for client in clients)
        return bool(_owned_by(victim, clients) and _owned_by(sibling, clients))

    wait_for("both http children have clients", both_have_some)
    lost = _owned_by(victim, clients)
    victim.send_signal(signal.SIGKILL)
    for client in clients:
        mine = client.sock.getsockname()[1] in lost
        with pytest.raises((OSError, http.client.HTTPException)) if mine else contextlib.nullcontext():
            assert ask(client, TILE) == 200
        client.close()
    # Whoever comes now is accepted at once, by the sibling or the new one.
    for _ in range(20):
        with contextlib.closing(connect(port)) as client:
            assert ask(client, TILE) == 200
    wait_for("a new http child", lambda: _ready_http(instance, but=victim.pid) == 2)


def _ready_http(instance: Instance, *, but: int) -> int:
    rows = [row for row in instance.ctl_json("ps") if row["role"] == "http"]
    return sum(row["state"] in ("idle", "busy") and row["pid"] != but for row in rows)


# What systemd does between fork and exec: the socket as descriptor 3, and its variables.
_LAUNCHER = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.set_inheritable(3, True);"
    "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); os.execv(sys.argv[2], sys.argv[2:])"
)


class ServiceManager:
    """It holds the socket, as systemd's socket unit does, and starts masters on it."""

    def __init__(self, folder: Path, projects: Path) -> None:
        self.folder = folder
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
        self.port = int(self.listener.getsockname()[1])
        self.processes: list[subprocess.Popen[bytes]] = []
        self._line = [
            str(BIN / "qgsd"), "run", "--rootdir", str(projects), "--pidfile", str(folder / "q.pid"),
            "--set", f"server.pluginpath={PLUGINS}", "--set", "logging.access=off",
        ]  # fmt: skip

    def start(self) -> subprocess.Popen[bytes]:
        with (self.folder / f"log{len(self.processes)}").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", _LAUNCHER, str(self.listener.fileno()), *self._line],
                pass_fds=[self.listener.fileno()], stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def log(self) -> str:
        return (self.folder / f"log{len(self.processes) - 1}").read_text(errors="replace")

    def wait_serving(self) -> None:
        wait_for("the instance serves", lambda: " serves on " in self.log(), 60)

    def end(self) -> None:
        for process in self.processes:
            family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.kill()
            process.wait()
            psutil.wait_procs(family, 10)
        self.listener.close()


@pytest.fixture
def manager(tmp_path: Path, projects: Path) -> Iterator[ServiceManager]:
    made = ServiceManager(tmp_path, projects)
    yield made
    made.end()


class Comers:
    """Clients that come all the time, each with a connection of its own; `refused` is what they met."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.refused: list[str] = []
        self.served = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._come, daemon=True)
        self._thread.start()

    def _come(self) -> None:
        while not self._stop.is_set():
            try:
                with contextlib.closing(connect(self.port)) as connection:
                    self.served += ask(connection, TILE) == 200
            except ConnectionRefusedError as error:
                self.refused.append(repr(error))
            except (OSError, http.client.HTTPException):
                # Cut off by the death itself, which nobody can prevent.
                continue

    def end(self) -> None:
        self._stop.set()
        self._thread.join(60)


@pytest.mark.parametrize("busy", ["sleep", "render"])
def test_a_killed_master_under_a_service_manager(manager: ServiceManager, busy: str) -> None:
    """Nobody is refused, all its children go within 2 s though they are busy, nothing stays behind."""
    first = manager.start()
    manager.wait_serving()
    family = psutil.Process(first.pid).children(recursive=True)
    run = manager.folder / "q.run"
    comers = Comers(manager.port)
    try:
        wait_for("they are served", lambda: comers.served > 3)
        with contextlib.closing(connect(manager.port)) as held:
            held.request("GET", _BUSY[busy])
            wait_for("a worker is busy", lambda: _in_request(run, family, busy))
            first.kill()
            first.wait()
            _gone, alive = psutil.wait_procs(family, 2)
            assert not alive, [process.cmdline() for process in alive]
        left = _traces(run)
        assert left, "a killed master leaves its folder; without it the next assertion shows nothing"
        manager.start()
        manager.wait_serving()
        before = comers.served
        wait_for("they are served again", lambda: comers.served > before + 3)
    finally:
        comers.end()
    assert comers.refused == []
    assert not left & _traces(run), "something of the first master is still there"
    assert int((manager.folder / "q.pid").read_text().split()[0]) == manager.processes[-1].pid
    assert not list(Path("/dev/shm").glob("*qgsd*"))


_BUSY = {
    "sleep": ows_path(SERVICE="PROBE", REQUEST="sleep", VALUE="60"),
    # Inside QGIS, which looks at nothing but its map.
    "render": ows_path(**GET_MAP | {"WIDTH": "7900", "HEIGHT": "7900", "FORMAT": "image/jpeg"}),
}


def _in_request(run: Path, family: list[psutil.Process], busy: str) -> bool:
    """The worker with the held request: asleep, or larger than a small map makes it."""
    workers = [p for p in family if p.is_running() and p.cmdline()[:1] and "worker" in p.cmdline()[0]]
    if busy == "render":
        return any(worker.memory_info().rss > 400 << 20 for worker in workers)
    control = f"ipc://{run / 'control'}"
    shown = subprocess.run(
        [str(BIN / "qgsdctl"), "--control", control, "--json", "ps"], capture_output=True, text=True
    )
    return '"busy"' in shown.stdout


def _traces(run: Path) -> set[tuple[str, int, int]]:
    """What lies in the folder beside the pidfile: a successor's may have the name, but is another file."""
    traces = set()
    for path in run.rglob("*"):
        status = os.lstat(path)
        traces.add((str(path.relative_to(run)), status.st_ino, status.st_ctime_ns))
    return traces
