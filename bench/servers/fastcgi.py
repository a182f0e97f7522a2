# SPDX-License-Identifier: GPL-2.0-or-later
"""QGIS Server's own FastCGI program behind nginx, as most people run it; Debian's packages."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import psutil

from bench.load import HOST
from bench.servers.base import Server, environment

_PROGRAM = Path("/usr/lib/cgi-bin/qgis_mapserv.fcgi")
# Debian's /etc/nginx/fastcgi_params, but for the name: all servers are to call themselves the same.
_CONFIG = """
daemon off;
worker_processes auto;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 768; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path {folder}/body;
    fastcgi_temp_path {folder}/fastcgi;
    proxy_temp_path {folder}/proxy;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    server {{
        listen 127.0.0.1:{port};
        location /ows/ {{
            include /etc/nginx/fastcgi_params;
            fastcgi_param SERVER_NAME {host};
            fastcgi_param SERVER_PORT 80;
            fastcgi_param HTTP_HOST {host};
            fastcgi_read_timeout 60s;
            fastcgi_pass unix:{folder}/qgis.socket;
        }}
    }}
}}
"""


class FastCgi(Server):
    name = "FastCGI"

    @classmethod
    def missing(cls) -> str:
        needed = {"nginx-light": shutil.which("nginx"), "spawn-fcgi": shutil.which("spawn-fcgi")}
        return ", ".join(name for name, path in needed.items() if not path)

    def launch(self) -> None:
        # It starts so many processes (-F) and ends; they find projects from the folder they run in.
        line = [
            "spawn-fcgi", "-s", str(self.folder / "qgis.socket"), "-M", "0666", "-P", str(self._pids),
            "-F", str(self.setting.workers), "-d", str(self.setting.root), "--", str(_PROGRAM),
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            subprocess.run(line, stdout=log, stderr=log, env=environment(), check=True)
        config = self.folder / "nginx.conf"
        config.write_text(_CONFIG.format(folder=self.folder, port=self.port, host=HOST))
        self.spawn(["nginx", "-c", str(config), "-e", str(self.folder / "nginx.log")])

    @property
    def _pids(self) -> Path:
        return self.folder / "qgis.pids"

    def worker_pids(self) -> list[int]:
        return [pid for pid in map(int, self._pids.read_text().split()) if psutil.pid_exists(pid)]

    def family(self) -> list[psutil.Process]:
        return [*super().family(), *(psutil.Process(pid) for pid in self.worker_pids())]
