# SPDX-License-Identifier: GPL-2.0-or-later
"""A qgsd process under test: its command line, its HTTP, its qgsdctl, its end."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import psutil

from tests.waiting import wait_for

BIN = Path(sys.executable).parent
START_SECONDS = 60.0
STOP_SECONDS = 45.0


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        return json.loads(self.body)


class Instance:
    """`qgsd COMMAND` in the foreground, with a pidfile, a port and a log of its own in `folder`.

    A context: it serves, and in the end it has left nothing behind.
    """

    def __init__(
        self,
        folder: Path,
        command: str,
        arguments: Sequence[str],
        *,
        port: int | None = 0,
        env: Mapping[str, str] | None = None,
        config: str | None = None,
    ) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.pidfile = folder / "q.pid"
        self.log_path = folder / "log"
        self.control = f"ipc://{folder / 'q.run' / 'control'}"
        line = [str(BIN / "qgsd"), command, "--pidfile", str(self.pidfile), *arguments]
        if config is not None:
            (folder / "q.ini").write_text(config)
            line += ["-c", str(folder / "q.ini")]
        if port is not None and command != "worker":
            line += ["-p", str(port)]
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("QGSRV_")} | dict(
            env or {}
        )
        self.log = self.log_path.open("wb")
        self.process = self._spawn(line)

    def _spawn(self, line: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT, env=self.environment
        )

    # Its life.

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_serving(self) -> None:
        def serving() -> bool:
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.log_text}"
            return " serves on " in self.log_text

        try:
            wait_for("the instance serves", serving, START_SECONDS)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.log_text}") from None

    def wait_end(self, seconds: float = STOP_SECONDS) -> int:
        return self.process.wait(seconds)

    def signal(self, name: str) -> None:
        os.kill(self.pid, getattr(signal, f"SIG{name}"))

    def family(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def __enter__(self) -> Self:
        try:
            self.wait_serving()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = self.end()
        assert kind is not None or not left, f"left behind: {left}"

    def end(self) -> list[str]:
        """Stop whatever still runs. What it left behind although it ended by itself, for a person to read."""
        family = self.family()
        gracefully = self._terminate()
        left = [f"process {p.pid} {p.name()}" for p in family if p.is_running() and p.status() != "zombie"]
        for process in family:
            if process.is_running():
                process.kill()
        if gracefully:
            left += [str(path) for path in (self.pidfile, self.folder / "q.run") if path.exists()]
        self.log.close()
        return left

    def _terminate(self) -> bool:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode >= 0

    # What it says.

    @property
    def log_text(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def port(self) -> int:
        match = re.search(r" serves on \S*?:(\d+)", self.log_text)
        assert match, self.log_text
        return int(match[1])

    # Asking it.

    def ctl(
        self, *arguments: str, check: bool = True, timeout: float = 90
    ) -> subprocess.CompletedProcess[str]:
        line = [str(BIN / "qgsdctl"), "--control", self.control, *arguments]
        done = subprocess.run(line, capture_output=True, text=True, timeout=timeout, env=self.environment)
        if check:
            assert done.returncode == 0, f"{arguments}: {done.returncode} {done.stdout} {done.stderr}"
        return done

    def ctl_json(self, *arguments: str, check: bool = True) -> Any:
        return json.loads(self.ctl("--json", *arguments, check=check).stdout)

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """What has happened, of all kinds or of one: "machine."."""
        told = map(json.loads, self.ctl("--json", "events").stdout.splitlines())
        return [event for event in told if event["event"].startswith(kind)]

    def workers(self) -> list[dict[str, Any]]:
        return [row for row in self.ctl_json("ps") if row["role"] == "worker"]

    def child(self, role: str) -> psutil.Process:
        (row,) = [row for row in self.ctl_json("ps") if row["role"] == role and row["state"] != "draining"]
        return psutil.Process(row["pid"])

    def request(
        self, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, target, body, dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, target: str, **headers: str) -> Answer:
        return self.request("GET", target, headers=headers)

    def ows(self, project: str = "world", **parameters: str) -> Answer:
        return self.get(ows_path(project, **parameters))

    def raw(self, data: bytes, seconds: float = 30.0) -> bytes:
        """Send bytes as they are and read until the server closes or says nothing more."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall(data)
            received = b""
            while piece := _receive(connection):
                received += piece
            return received


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except (TimeoutError, ConnectionResetError):
        return b""


class Daemon(Instance):
    """`qgsd start`: the process that is waited for is another than the one that serves."""

    def _spawn(self, line: list[str]) -> subprocess.Popen[bytes]:
        line += ["--set", f"logging.file={self.log_path}"]
        self.started = subprocess.run(line, capture_output=True, text=True, timeout=90, env=self.environment)
        return subprocess.Popen([sys.executable, "-c", ""])

    @property
    def pid(self) -> int:
        return int(self.pidfile.read_text().splitlines()[0]) if self.pidfile.exists() else -1

    def wait_serving(self) -> None:
        assert self.started.returncode == 0, self.started.stderr

    def family(self) -> list[psutil.Process]:
        if self.pid < 0 or not psutil.pid_exists(self.pid):
            return []
        master = psutil.Process(self.pid)
        return [master, *master.children(recursive=True)]

    def _terminate(self) -> bool:
        self.process.wait()
        if self.pid > 0 and psutil.pid_exists(self.pid):
            master = psutil.Process(self.pid)
            master.send_signal(signal.SIGQUIT)
            try:
                master.wait(10)
            except psutil.TimeoutExpired:
                return False
        return True


def ows_path(project: str = "world", **parameters: str) -> str:
    return "/ows/?" + urlencode({"MAP": project, **parameters})


GET_MAP = {
    "SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetMap", "LAYERS": "countries", "STYLES": "",
    "CRS": "EPSG:3857", "BBOX": "-2000000,3000000,4000000,9000000", "WIDTH": "128", "HEIGHT": "128",
    "FORMAT": "image/png",
}  # fmt: skip


class Crowd:
    """Clients that ask for one map over and over and check every byte of every answer."""

    def __init__(self, instance: Instance, clients: int, target: str, *, keep_alive: bool = True) -> None:
        import threading

        self.instance, self.target, self.keep_alive = instance, target, keep_alive
        self.port = instance.port
        expected = instance.get(target)
        assert expected.status == 200, expected.text
        self.expected = expected.body
        self.good = 0
        self.times: list[float] = []
        self.bad: list[str] = []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.threads = [
            threading.Thread(target=self._ask, args=(number,), daemon=True) for number in range(clients)
        ]
        for thread in self.threads:
            thread.start()

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive(), "a client waits for ever"

    @property
    def longest(self) -> float:
        """Seconds of the slowest answer."""
        return max(self.times, default=0.0)

    def slow(self, share: float) -> float:
        """The seconds within which this share of the answers came."""
        return sorted(self.times)[int(share * (len(self.times) - 1))]

    def wait_answers(self, more: int) -> None:
        """Until so many more good answers have come."""
        goal = self.good + more
        wait_for(f"{more} more answers", lambda: self.good >= goal or self.bad, 60)

    def _ask(self, number: int) -> None:
        # By a header of its own, so that no client gets what another one's request has caused.
        own = {"X-Client": str(number)}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                connection.request("GET", self.target, headers=own)
                response = connection.getresponse()
                body = response.read()
                self._judge(response.status, body, time.monotonic() - began)
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.bad.append(repr(error))
                connection.close()
            if not self.keep_alive:
                connection.close()
        connection.close()

    def _judge(self, status: int, body: bytes, took: float) -> None:
        with self._lock:
            self.times.append(took)
            if status == 200 and body == self.expected:
                self.good += 1
            else:
                self.bad.append(f"{status}, {len(body)} bytes: {body[:200]!r}")
