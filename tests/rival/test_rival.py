# SPDX-License-Identifier: GPL-2.0-or-later
"""A request script written against py-qgis-server gets the same answers, or there is a reason (`reasons.py`).

Run by `make test-rival`, which installs py-qgis-server 1.8, the last that runs with QGIS 3.22, in an
environment of its own and names it in QGSD_RIVAL. Skipped without.
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.differential import catalogue, compare
from tests.differential.ask import FORM, Ask
from tests.differential.compare import Reply, differences
from tests.differential.sides import ENVIRONMENT, Ours, build_projects
from tests.integration.instance import Instance
from tests.integration.test_migration import Moved
from tests.rival.reasons import HEADERS, REASONS
from tests.waiting import wait_for

RIVAL = os.environ.get("QGSD_RIVAL", "")
pytestmark = [
    pytest.mark.skipif(not RIVAL, reason="needs py-qgis-server: make test-rival"),
    pytest.mark.timeout(600),
]

# One file for both.
CONFIG = "[server]\ntimeout=5\nhttp_proxy=yes\n[projects.cache]\nforce_readonly_layers=no\n"

CAPABILITIES = "SERVICE=WMS&REQUEST=GetCapabilities"
# What scripts do beside asking for maps: statuses, and the answers of the server itself.
MORE = [
    Ask("/ping"),
    Ask("/ping", "HEAD"),
    Ask(f"/ows/?MAP=survey&{CAPABILITIES}"),
    Ask(f"/ows?MAP=survey&{CAPABILITIES}"),
    Ask(f"/ows/?map=survey&{CAPABILITIES.lower()}"),
    Ask(f"/ows/?{CAPABILITIES}", headers={"X-Qgis-Project": "survey"}),
    Ask("/ows/", "POST", {"Content-Type": FORM}, f"MAP=survey&{CAPABILITIES}".encode()),
    Ask("/wfs3/collections?MAP=survey"),
    Ask("/wfs3/collections", headers={"X-Qgis-Project": "survey"}),
]
# The status is the same; the body is qgsd's own, an OGC exception report or JSON.
REFUSED = [
    Ask(f"/ows/?MAP=nope&{CAPABILITIES}"),
    Ask(f"/ows/?{CAPABILITIES}"),
    Ask(f"/ows/?MAP=../outside&{CAPABILITIES}"),
    Ask(f"/ows/?MAP=foo:bar&{CAPABILITIES}"),
    Ask("/nothing"),
    Ask("/wfs3/nothing?MAP=nope"),
    Ask("/ows/?MAP=survey", "DELETE"),
]


class Rival:
    """py-qgis-server in the foreground, with one worker."""

    def __init__(self, folder: Path, config: str = CONFIG) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (folder / "rival.ini").write_text(config)
        self.log = (folder / "rival.log").open("wb")
        line = [f"{RIVAL}/bin/qgisserver", "-b", "127.0.0.1", "-p", str(self.port), "-w", "1"]
        self.process = subprocess.Popen(
            [*line, "-c", "rival.ini", "--rootdir", str(folder / "projects")],
            cwd=folder, env=os.environ | ENVIRONMENT, stdout=self.log, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def wait_serving(self) -> None:
        def serving() -> bool:
            assert self.process.poll() is None, Path(self.log.name).read_text()
            try:
                return Ours(self.port).ask(Ask(f"/ows/?MAP=survey&{CAPABILITIES}")).status == 200
            except OSError:
                return False

        wait_for("py-qgis-server serves", serving, 60)

    def ask(self, ask: Ask, host: str) -> Reply:
        """A connection for each request: after some it leaves the old one unusable."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        body = ask.body or (b"" if ask.method == "POST" else None)
        connection.request(ask.method, ask.target, body, {"Host": host} | dict(ask.headers))
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.headers.items()}
        reply = Reply(response.status, headers, response.read())
        connection.close()
        return reply

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rival, Instance]]:
    theirs, ours = tmp_path_factory.mktemp("theirs"), tmp_path_factory.mktemp("ours")
    build_projects(theirs / "projects")
    shutil.copytree(theirs / "projects", ours / "projects")
    arguments = ("-b", "127.0.0.1", "-w", "1", "--rootdir", str(ours / "projects"))
    instance = Moved(ours / "i", "run", arguments, config=CONFIG, env=ENVIRONMENT)
    rival = Rival(theirs)
    try:
        instance.wait_serving()
        rival.wait_serving()
        yield rival, instance
    finally:
        rival.close()
        left = instance.end()
    assert not left, f"left behind: {left}"


def test_the_same_answers_or_a_reason(sides: tuple[Rival, Instance], monkeypatch: pytest.MonkeyPatch) -> None:
    rival, instance = sides
    monkeypatch.setattr(compare, "OURS", compare.OURS | HEADERS | {"content-length"})
    client, host = Ours(instance.port), f"127.0.0.1:{instance.port}"
    reasons: Counter[str] = Counter()
    unexplained = []
    # What crashes QGIS takes py-qgis-server's only worker along.
    asks = [ask for ask in (*MORE, *catalogue.ASKS) if not ask.crashes]
    for ask in asks:
        theirs, ours = rival.ask(ask, host), client.ask(ask)
        if found := differences(theirs, ours):
            why = next((r.why for r in REASONS if r.covers(ask, theirs, ours)), None)
            if why:
                reasons[why] += 1
            else:
                unexplained.append(f"{ask.name}: {found}")
    client.close()
    same = len(asks) - reasons.total() - len(unexplained)
    print(f"\n{len(asks)} requests, {same} answers the same")
    for why, number in reasons.most_common():
        print(f"  {number:3}  {why}")
    assert unexplained == []
    assert same > 0.85 * len(asks)


@pytest.mark.parametrize("ask", REFUSED, ids=[f"{ask.method} {ask.target}" for ask in REFUSED])
def test_the_same_status(sides: tuple[Rival, Instance], ask: Ask) -> None:
    rival, instance = sides
    host = f"127.0.0.1:{instance.port}"
    assert rival.ask(ask, host).status == Ours(instance.port).ask(ask).status


def test_the_same_headers_of_a_project(sides: tuple[Rival, Instance]) -> None:
    rival, instance = sides
    ask = Ask(f"/ows/?MAP=survey.qgs&{CAPABILITIES}", headers={"Origin": "https://other.example"})
    theirs, ours = rival.ask(ask, f"127.0.0.1:{instance.port}"), Ours(instance.port).ask(ask)
    for name in ("x-map-id", "access-control-allow-origin", "content-type"):
        assert theirs.headers[name] == ours.headers[name], name
