# SPDX-License-Identifier: GPL-2.0-or-later
"""py-qgis-server 1.8, the last one for QGIS 3.22, in an environment of its own."""

from __future__ import annotations

from pathlib import Path

from bench.servers.base import Server

ENVIRONMENT = Path(__file__).parents[2] / ".bench" / "py-qgis-server"

_CONFIG = """[server]
port={port}
interfaces=127.0.0.1
workers={workers}
timeout=60
[logging]
level=ERROR
[projects.cache]
size={cache}
rootdir={root}
strict_check=no
[zmq]
bindaddr=ipc://{folder}/in
hostaddr=127.0.0.1
broadcastaddr=ipc://{folder}/broadcast
cache_observer_addr=ipc://{folder}/observer
timeout=60000
"""


class PyQgisServer(Server):
    name = "py-qgis-server"
    # It gives up if a worker dies in its first five seconds.
    settling = 6.0

    @classmethod
    def missing(cls) -> str:
        return "" if (ENVIRONMENT / "bin" / "qgisserver").exists() else "py-qgis-server"

    def launch(self) -> None:
        config, setting = self.folder / "server.ini", self.setting
        config.write_text(
            _CONFIG.format(
                port=self.port,
                workers=setting.workers,
                cache=setting.cache,
                root=setting.root,
                folder=self.folder,
            )
        )
        line = [str(ENVIRONMENT / "bin" / "qgisserver"), "-c", str(config)]
        self.spawn(line)

    def worker_pids(self) -> list[int]:
        # It starts a supervisor and a pool; the pool's children are the workers.
        own = self.processes[0].pid
        return [member.pid for member in self.family() if member.pid != own and member.ppid() != own]
