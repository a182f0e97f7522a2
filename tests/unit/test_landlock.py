# SPDX-License-Identifier: GPL-2.0-or-later
"""What a process cannot do any more once it has given it up. Each in a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from qgsd import landlock
from qgsd.config import Settings
from qgsd.worker import confinement

pytestmark = pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")


def restricted(code: str, readable: list[str], writable: list[str], ports: list[int] | None = None) -> str:
    script = (
        "import socket, subprocess\nfrom qgsd import landlock, linux\nlinux.give_up_new_privileges()\n"
        f"landlock.restrict({readable!r}, {writable!r}, {ports!r})\n{code}"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def test_only_what_is_named_can_be_read_and_written(tmp_path: Path) -> None:
    for name in ("shown", "hidden", "own"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "link").symlink_to(tmp_path / "hidden" / "file")
    shown, hidden, own = (str(tmp_path / name / "file") for name in ("shown", "hidden", "own"))
    readable, writable = ["/usr", "/lib", str(tmp_path / "shown"), "/no/such"], [str(tmp_path / "own")]
    for code, possible in (
        (f"print(open({shown!r}).read())", True),
        (f"open({own!r}, 'w').write('x'); print('shown')", True),
        (f"open({shown!r}, 'w')", False),
        (f"open({hidden!r})", False),
        (f"open({str(tmp_path / 'link')!r})", False),
        (f"__import__('os').unlink({shown!r})", False),
        (f"subprocess.run(['/usr/bin/cat', {hidden!r}], check=True)", False),
        ("open('/etc/passwd')", False),
    ):
        told = restricted(code, readable, writable)
        assert ("shown" in told and "Error" not in told) == possible, (code, told)
        assert possible or "Permission" in told, (code, told)


@pytest.mark.skipif(not landlock.knows_ports(), reason="this kernel's Landlock does not know ports")
def test_only_named_ports_can_be_connected_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        port, closed = one.getsockname()[1], other.getsockname()[1]
        connect = "socket.create_connection(('127.0.0.1', {}), 5); print('connected')"
        assert "connected" in restricted(connect.format(port), ["/"], ["/"], [port])
        assert "PermissionError" in restricted(connect.format(closed), ["/"], ["/"], [port])


def test_the_folders_of_a_worker() -> None:
    settings = Settings(
        schemes={"a": "file:/srv/old/maps/", "b": "geopackage:/srv/a.gpkg", "c": "postgresql:?x"}
    )
    readable, writable = confinement.paths(
        settings, {"HOME": "/home/q", "PGSERVICEFILE": "/k/pg"}, "/t/worker-1"
    )
    assert {"/usr", "/srv/old/maps/", "/srv/a.gpkg", "/k/pg", "/home/q/.postgresql"} <= set(readable)
    assert {"/t/worker-1", "/t/projects", "/home/q/.local/share/QGIS"} <= set(writable)
    assert not {"/", "/home", "/home/q", "/srv", "/t", ""} & {*readable, *writable}
    assert "/srv/old/maps/" not in writable
