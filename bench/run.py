# SPDX-License-Identifier: GPL-2.0-or-later
"""Conducts a run: starts the servers, goes through workloads in rounds, in each of them asks one server after
the other, so that whatever else the machine does meets them all alike."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from bench.report.record import Record
from bench.servers import known as servers_known
from bench.servers.base import Server, ServerFailed, Setting
from bench.servers.in_process import InProcess
from bench.workloads import requests
from bench.workloads.base import Alone, AnyServer, Measured, Workload

Say = Callable[[str], None]


class Run:
    """`pace` scales the time of each measurement; `say` tells progress to a person."""

    def __init__(self, root: Path, servers: list[str], rounds: int, pace: float, say: Say) -> None:
        self.root = root
        self.servers = servers
        self.rounds = rounds
        self.pace = pace
        self.say = say
        self.record = Record()

    def go(self, workloads: list[Workload | Alone[Any]]) -> Record:
        with tempfile.TemporaryDirectory(prefix="qgsd-bench-") as folder:
            # nginx, started as root, changes to a user of its own.
            os.chmod(folder, 0o755)
            shared = [one for one in workloads if isinstance(one, Workload)]
            for number, (setting, group) in enumerate(groupby(shared, self._setting)):
                self._shared(Path(folder) / str(number), setting, list(group))
            for workload in workloads:
                if isinstance(workload, Alone):
                    self._alone(Path(folder) / workload.key, workload)
        return self.record

    def _setting(self, workload: Workload) -> Setting:
        setting = workload.setting(self.root)
        # In the only round nothing comes after it.
        return replace(setting, apart="") if self.rounds == 1 else setting

    def _shared(self, folder: Path, setting: Setting, workloads: list[Workload]) -> None:
        running: list[AnyServer] = []
        limit = InProcess(folder / "limit", setting)
        probe = requests.tile(33, 21)
        try:
            limit.start(probe)
            for workload in workloads:
                self.say(f"right answers for {workload.key}")
                workload.prepare(limit)
            for name in self.servers:
                running.append(server := self._server(name, folder, setting, limit))
                if server is not limit:
                    server.start(probe)
            for number in range(self.rounds):
                for workload in workloads:
                    for server in running:
                        self._measure(number, workload, server)
        finally:
            for server in {id(one): one for one in (*running, limit)}.values():
                server.stop()

    def _server(self, name: str, folder: Path, setting: Setting, limit: InProcess) -> AnyServer:
        kind = servers_known[name]
        return limit if kind is InProcess else kind(folder / name.replace(" ", "-"), setting)

    def _measure(self, number: int, workload: Workload, server: AnyServer) -> None:
        if server.name in workload.without or (server.own_pictures and not workload.pictures):
            return
        try:
            measured = workload.measure(server, self.pace)
        except (ServerFailed, subprocess.SubprocessError, OSError) as failed:
            measured = Measured(failed=1, wrong=[str(failed)])
        self._keep(number, workload, server.name, measured)

    def _alone(self, folder: Path, workload: Alone[Any]) -> None:
        chosen = [servers_known[name] for name in self.servers]
        kinds: list[type[AnyServer]] = [
            kind
            for kind in chosen
            if issubclass(kind, Server) and (workload.pictures or not kind.own_pictures)
        ]
        workload.prepare(folder / "reference", self.root)
        for number in range(min(self.rounds, workload.rounds)):
            limits = workload.limits if InProcess.name in self.servers else ()
            for kind in (*kinds, *limits):
                try:
                    measured = workload.measure(kind, folder / f"{kind.name}-{number}", self.root, self.pace)
                except ServerFailed as failed:
                    measured = Measured(failed=1, wrong=[str(failed)])
                self._keep(number, workload, kind.name, measured)

    def _keep(self, number: int, workload: Workload | Alone[Any], name: str, measured: Measured) -> None:
        self.record.add(workload, name, measured)
        told = ", ".join(f"{key} {value:.4g}" for key, value in measured.figures.items())
        trouble = f", {measured.failed} of {measured.answers} WRONG" if measured.failed else ""
        self.say(f"round {number + 1}: {workload.key}: {name}: {told or measured.lacking}{trouble}")
        for reason in measured.wrong[:3]:
            self.say(f"    {reason}")
