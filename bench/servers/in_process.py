# SPDX-License-Identifier: GPL-2.0-or-later
"""The limit: bare QgsServers, as many as there are workers, asked without HTTP and without a client.

It also gives the reference: what QGIS itself answers is what every server has to answer.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil

from bench.load import HOST, Load, Request, Result, Stream
from bench.servers.base import Setting, environment, pss_of

_PROGRAM = Path(__file__).parent / "in_process_worker.py"


class InProcess:
    name = "in process"
    own_pictures = False

    def __init__(self, folder: Path, setting: Setting) -> None:
        self.folder = folder
        self.setting = setting
        self.processes: list[subprocess.Popen[str]] = []
        self._loads: dict[int, int] = {}
        folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def missing(cls) -> str:
        return ""

    def start(self, probe: Request) -> float:
        """Seconds until all have answered."""
        began = time.perf_counter()
        with (self.folder / "log").open("ab") as log:
            self.processes = [
                subprocess.Popen(
                    ["/usr/bin/python3", str(_PROGRAM), str(self.setting.cache)], stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE, stderr=log, text=True, cwd=self.setting.root, env=environment(),
                )
                for _ in range(self.setting.workers)
            ]  # fmt: skip
        for process in self.processes:
            self._tell(process, self._answer_job(probe))
        for process in self.processes:
            self._hear(process)
        return time.perf_counter() - began

    def stop(self) -> None:
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def family(self) -> list[psutil.Process]:
        return [psutil.Process(process.pid) for process in self.processes]

    def pss(self) -> int:
        """Bytes of memory of all of them, what they share counted once."""
        return sum(pss_of(process.pid) for process in self.processes)

    def loads(self) -> int:
        """How often a project was opened by what `run` asked."""
        return sum(self._loads.values())

    # Reference.

    def _answer_job(self, request: Request, number: int = 0) -> dict[str, Any]:
        return {"host": HOST, "request": asdict(request), "file": str(self.folder / f"body{number}")}

    def body(self, request: Request) -> bytes:
        """QGIS's own answer."""
        self._tell(self.processes[0], self._answer_job(request))
        self._hear(self.processes[0])
        return self._body(0)

    def _body(self, number: int) -> bytes:
        return (self.folder / f"body{number}").read_bytes()

    def with_expected(
        self, requests: list[Request], bodies: dict[str, bytes] | None = None
    ) -> tuple[Request, ...]:
        """The same requests, each with the status and body that QGIS itself gives. `bodies`: kept by path."""
        told: list[Request] = []
        for some in _batched(requests, len(self.processes)):
            asked = list(zip(some, self.processes, strict=False))
            for number, (request, process) in enumerate(asked):
                self._tell(process, self._answer_job(request, number))
            for number, (request, process) in enumerate(asked):
                answer = self._hear(process)
                if bodies is not None:
                    bodies[request.path] = self._body(number)
                length, crc = answer["expected"]
                told.append(replace(request, status=answer["status"], expected=(length, crc)))
        return tuple(told)

    # Asking it.

    def run(self, load: Load) -> list[Result]:
        """Each process works on one stream; no more of them than the stream has clients."""
        streams = load.streams
        members = [
            self.processes[number :: len(streams)][: stream.connections]
            for number, stream in enumerate(streams)
        ]
        began = time.perf_counter()
        for stream, processes in zip(streams, members, strict=True):
            for process, job in zip(processes, self._jobs(load, stream, len(processes)), strict=True):
                self._tell(process, job)
        results = []
        for processes in members:
            seconds = []
            for process in processes:
                answer = self._hear(process)
                seconds += answer["seconds"]
                self._loads[process.pid] = answer["loads"]
            results.append(Result(time.perf_counter() - began, seconds, answers=len(seconds)))
        return results

    def _jobs(self, load: Load, stream: Stream, processes: int) -> list[dict[str, Any]]:
        """What each process is to do."""
        return [
            {
                "host": HOST, "requests": [asdict(one) for one in share], "seconds": load.seconds,
                "count": self._count(load, share, processes),
            }
            for share in self._shares(stream.requests, processes)
        ]  # fmt: skip

    def _shares(self, requests: Sequence[Request], processes: int) -> list[Sequence[Request]]:
        """Which requests each process has, in turn; all have them all if there are less than processes."""
        return [requests[number::processes] or requests for number in range(processes)]

    def _count(self, load: Load, share: Sequence[Request], processes: int) -> int:
        """So many answers of one process; 0: as many as there is time for."""
        return -(-load.count // processes)

    def repeat(self, request: Request, body: bytes, connections: int, seconds: float) -> Result:
        return self.run(Load((Stream((request,)),), seconds))[0]

    def _tell(self, process: subprocess.Popen[str], job: dict[str, Any]) -> None:
        assert process.stdin is not None
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()

    def _hear(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        assert process.stdout is not None
        row = process.stdout.readline()
        if not row:
            raise RuntimeError(f"the process without a server has ended; see {self.folder / 'log'}")
        answer: dict[str, Any] = json.loads(row)
        return answer


class InProcessBound(InProcess):
    """Each project is bound to one process, so that all are about as busy and hardly one is loaded twice."""

    name = "in process, bound"

    def __init__(self, folder: Path, setting: Setting) -> None:
        super().__init__(folder, setting)
        self._bound: dict[str, int] = {}
        self._weights = [0] * setting.workers

    def _shares(self, requests: Sequence[Request], processes: int) -> list[Sequence[Request]]:
        wanted = Counter(_project_of(one) for one in requests)
        # The most wanted first, each to the process with the least to do.
        for project, times in wanted.most_common():
            process = self._bound.setdefault(project, self._weights.index(min(self._weights)))
            self._weights[process] += times
        return [
            [one for one in requests if self._bound[_project_of(one)] == number]
            for number in range(processes)
        ]

    def _count(self, load: Load, share: Sequence[Request], processes: int) -> int:
        return len(share)


def _batched(requests: Sequence[Request], size: int) -> Iterator[list[Request]]:
    """As itertools.batched, which Python 3.11 has not."""
    rest = iter(requests)
    while some := list(islice(rest, size)):
        yield some


def _project_of(request: Request) -> str:
    return parse_qs(urlsplit(request.path).query)["MAP"][0]
