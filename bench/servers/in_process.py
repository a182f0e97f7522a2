# SPDX-License-Identifier: GPL-2.0-or-later
"""The limit: bare QgsServers, as many as there are workers, asked without HTTP and without a client.

It also gives the reference: what QGIS itself answers is what every server has to answer.
"""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil

from bench.load import HOST, Load, Request, Result, Stream
from bench.servers.base import Setting, environment

_PROGRAM = Path(__file__).parent / "in_process_worker.py"


class InProcess:
    name = "in process"

    def __init__(self, folder: Path, setting: Setting) -> None:
        self.folder = folder
        self.setting = setting
        self.processes: list[subprocess.Popen[str]] = []
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
                    ["/usr/bin/python3", str(_PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    stderr=log, text=True, cwd=self.setting.root, env=environment(),
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

    # Reference.

    def _answer_job(self, request: Request) -> dict[str, Any]:
        return {"host": HOST, "request": asdict(request), "file": str(self.folder / "body")}

    def body(self, request: Request) -> bytes:
        """QGIS's own answer."""
        self._tell(self.processes[0], self._answer_job(request))
        self._hear(self.processes[0])
        return (self.folder / "body").read_bytes()

    def with_expected(self, requests: list[Request]) -> tuple[Request, ...]:
        """The same requests, each with the status and body that QGIS itself gives."""
        told = []
        for request in requests:
            self._tell(self.processes[0], self._answer_job(request))
            answer = self._hear(self.processes[0])
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
            for number, process in enumerate(processes):
                self._tell(process, self._loop_job(load, stream, number, len(processes)))
        results = []
        for processes in members:
            seconds = [one for process in processes for one in self._hear(process)["seconds"]]
            results.append(Result(time.perf_counter() - began, seconds, answers=len(seconds)))
        return results

    def _loop_job(self, load: Load, stream: Stream, first: int, step: int) -> dict[str, Any]:
        return {
            "host": HOST, "requests": [asdict(one) for one in stream.requests], "first": first, "step": step,
            "seconds": load.seconds, "count": -(-load.count // step),
        }  # fmt: skip

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
