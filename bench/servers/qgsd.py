# SPDX-License-Identifier: GPL-2.0-or-later
"""qgsd of this checkout, in the environment that runs the benchmark."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.servers.base import Server
from qgsd import png

BIN = Path(sys.executable).parent


class Qgsd(Server):
    name = "qgsd"
    extra: tuple[str, ...] = ()

    def launch(self) -> None:
        setting = self.setting
        line = [
            str(BIN / "qgsd"), "run", "--rootdir", str(setting.root), "-b", "127.0.0.1",
            "-p", str(self.port),
            "-w", str(setting.workers), "--pidfile", str(self.folder / "qgsd.pid"), "--timeout", "60",
            "--set", f"cache.size={setting.cache}", "--set", "logging.access=off", "--logging", "warning",
        ]  # fmt: skip
        if setting.responses:
            line += ["--set", "answers.projects.*=images 600"]
        if setting.metatiles:
            line += ["--set", f"metatiles.*={setting.metatiles}"]
        self.spawn([*line, *self.extra])

    def ctl(self, *arguments: str) -> Any:
        control = f"ipc://{self.folder / 'qgsd.run' / 'control'}"
        line = [str(BIN / "qgsdctl"), "--control", control, "--json", *arguments]
        done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=90)
        return json.loads(done.stdout)

    def worker_pids(self) -> list[int]:
        return [row["pid"] for row in self.ctl("ps") if row["role"] == "worker"]


class QgsdCompact(Qgsd):
    """The same, with pictures of the same pixels in fewer bytes (docs/tuning.md)."""

    name = "qgsd, compact PNG"
    extra = ("--set", "server.png=compact")
    own_pictures = True

    @classmethod
    def missing(cls) -> str:
        return "" if png.find() else "a C compiler"
