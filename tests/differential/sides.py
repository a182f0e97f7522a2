# SPDX-License-Identifier: GPL-2.0-or-later
"""The two that are compared, each with a copy of the projects of its own."""

from __future__ import annotations

import base64
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.differential.ask import Ask
from tests.differential.compare import Reply

ROOT = Path(__file__).parents[2]


def build_projects(folder: Path) -> None:
    command = [sys.executable, "-m", "tests.differential.project", str(folder)]
    subprocess.run(command, check=True, cwd=ROOT, timeout=60)


# Qt seeds its hashes anew in every process. The order of XML attributes and the palettes of 8 bit images
# follow from that seed, so two runs of QGIS differ in them; with one seed for both sides they may not.
ENVIRONMENT = {"QT_HASH_SEED": "0"}


def _headers_sent(ask: Ask, port: int) -> dict[str, str]:
    return {"Host": f"127.0.0.1:{port}"} | dict(ask.headers)


def _as_cgi_has_them(headers: Mapping[str, str]) -> dict[str, str]:
    """Names of headers know no case; QGIS asks for them in the common form, which CGI gives it."""
    return {"-".join(part.capitalize() for part in name.split("-")): headers[name] for name in headers}


class Reference:
    """QGIS Server in a process of its own; started again when QGIS crashes."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.log = (folder / "reference.log").open("ab")
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.differential.reference"],
            cwd=self.folder,
            env=os.environ | ENVIRONMENT | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
        )

    def ask(self, ask: Ask) -> Reply:
        assert self.process.stdin
        assert self.process.stdout
        # The answer to HEAD is that to GET without its body (RFC 9110, 9.3.2); QGIS leaves that to others.
        method = "GET" if ask.method == "HEAD" else ask.method
        headers = _as_cgi_has_them(_headers_sent(ask, self.port))
        # A web server tells QGIS the name by which it was asked.
        url = f"http://{headers['Host']}{ask.target}"
        told = [method, url, headers, base64.b64encode(ask.body).decode()]
        self.process.stdin.write(json.dumps(told).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            self.process.wait(10)
            self.process = self._start()
            return Reply(0, {}, b"", died=True)
        status, headers, body = json.loads(line)
        data = b"" if ask.method == "HEAD" else base64.b64decode(body)
        return Reply(status, {name.lower(): value for name, value in headers}, data)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.log.close()


class Ours:
    """qgsd over HTTP, on one connection."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, ask: Ask) -> Reply:
        body_sent = ask.body or (b"" if ask.method == "POST" else None)
        self.connection.request(ask.method, ask.target, body_sent, _headers_sent(ask, self.port))
        response = self.connection.getresponse()
        body = response.read()
        return Reply(response.status, {name.lower(): value for name, value in response.headers.items()}, body)

    def close(self) -> None:
        self.connection.close()
