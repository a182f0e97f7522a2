# SPDX-License-Identifier: GPL-2.0-or-later
"""QGIS Server's own FastCGI program behind nginx, as most people run it; Debian's packages."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from bench.load import HOST
from bench.servers.base import Server

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
        return "" if shutil.which("nginx") else "nginx-light"

    def launch(self) -> None:
        # What spawn-fcgi does, but in the session of the benchmark: Linux gives each session the same share
        # of a busy processor (autogroup), and spawn-fcgi makes one for each process.
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.folder / "qgis.socket"))
            listener.listen(1024)
            (self.folder / "qgis.socket").chmod(0o666)
            for _ in range(self.setting.workers):
                # They find projects from the folder they run in.
                self.spawn([str(_PROGRAM)], stdin=listener.fileno(), cwd=self.setting.root)
        config = self.folder / "nginx.conf"
        config.write_text(_CONFIG.format(folder=self.folder, port=self.port, host=HOST))
        self.spawn(["nginx", "-c", str(config), "-e", str(self.folder / "nginx.log")])

    def worker_pids(self) -> list[int]:
        return [member.pid for member in self.family() if member.name().startswith("qgis_mapserv")]
