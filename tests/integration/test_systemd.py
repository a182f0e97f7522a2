# SPDX-License-Identifier: GPL-2.0-or-later
"""The units in systemd/, by systemd's own tools. What the master says to systemd: test_starting.py."""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.integration.instance import BIN, GET_MAP, ows_path
from tests.waiting import wait_for

UNITS = Path(__file__).parents[2] / "systemd"
EXPOSURE_TENTHS = 30

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")


@needs_systemd
@pytest.mark.parametrize("name", ["qgsd.service", "qgsd@.service"])
def test_a_unit_is_sound(name: str, tmp_path: Path) -> None:
    """`verify` wants the program to exist, and a template unit a name."""
    unit = tmp_path / name.replace("@.", "@maps.")
    unit.write_text((UNITS / name).read_text().replace("/opt/qgsd/bin", str(BIN)))
    shutil.copy(UNITS / "qgsd.socket", tmp_path)
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("name", ["qgsd.service", "qgsd@.service"])
def test_a_unit_may_do_little(name: str, tmp_path: Path) -> None:
    unit = tmp_path / name.replace("@.", "@maps.")
    shutil.copy(UNITS / name, unit)
    line = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_TENTHS}", str(unit)]
    judged = subprocess.run(line, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="systemd is not installed")
def test_the_first_client_starts_the_daemon(projects: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    line = [
        "systemd-socket-activate", "-l", f"127.0.0.1:{port}", str(BIN / "qgsd"), "run",
        "--pidfile", str(tmp_path / "q.pid"), "--rootdir", str(projects), "-w", "1",
        "--timeout", "60", "--set", "supervision.worker_grace=60", "--set", "zmq.timeout=60000",
    ]  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        held = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for("systemd listens", lambda: "Listening on" in (tmp_path / "log").read_text())
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", ows_path(**GET_MAP))
        assert connection.getresponse().status == 200
        connection.close()
        held.terminate()
        assert held.wait(45) == 0, (tmp_path / "log").read_text()
    finally:
        held.kill()
        held.wait()
