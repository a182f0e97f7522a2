# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules of docs/fork-safety.md, each guarded by a test on real forks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from qgsd.control import Client
from tests.integration.instance import GET_MAP, Instance, ows_path

PLUGINS = Path(__file__).parents[1] / "plugins"
Launch = Callable[..., Instance]

# QGIS opens these itself at start, before anybody could prevent it. All are SQLite files that are
# only read by position (pread), so sharing the descriptor shares no offset.
OPENED_BY_QGIS = {"qgis-auth.db", "symbology-style.db", "qgis.db", "srs.db", "proj.db"}


def test_every_worker_has_a_tmpdir_of_its_own(launch: Launch, projects: Path) -> None:
    instance = launch("--rootdir", str(projects), "-w", "1", "--set", f"server.pluginpath={PLUGINS}")
    seen = set()
    for _ in range(3):
        told = instance.ows(SERVICE="PROBE", REQUEST="inside").json()
        assert told["tmpdir"] == told["python_tmp"] == told["qt_tmp"]
        assert Path(told["tmpdir"]).is_dir()
        seen.add(told["tmpdir"])
        instance.ctl("kill", "0")
        assert not Path(told["tmpdir"]).exists()
    assert len(seen) == 3


def test_workers_draw_different_random_numbers(launch: Launch, projects: Path) -> None:
    instance = launch("--rootdir", str(projects), "-w", "1", "--set", f"server.pluginpath={PLUGINS}")
    drawn = set()
    for _ in range(3):
        drawn.add(instance.ows(SERVICE="PROBE", REQUEST="inside").json()["random"])
        instance.ctl("kill", "0")
    assert len(drawn) == 3


def test_hundreds_of_forks_load_zipped_projects(launch: Launch, projects: Path) -> None:
    """With Qt's copied generator and a shared TMPDIR, the 214th fork could open no .qgz any more."""
    subprocess.run(
        [sys.executable, "-m", "zipfile", "-c", "zipped.qgz", "world.qgs"], cwd=projects, check=True
    )
    instance = launch("--rootdir", str(projects), "-w", "1", "--set", "logging.access=off")
    target = ows_path("zipped", SERVICE="WMS", REQUEST="GetCapabilities")
    with Client(instance.control) as client:
        for workers in (70, 0, 70, 0, 70, 1):
            client.call("scale", workers=workers)
        for _ in range(20):
            answer = instance.get(target)
            assert answer.status == 200, answer.text
            client.call("kill", target=0)
        # The first 70 forks filled empty slots; all others count as restarts.
        assert client.call("status")["counters"]["restarts"] + 70 > 220
    folders = list((instance.folder / "q.run" / "tmp").iterdir())
    assert len(folders) == 3, f"template, one worker and the copies of projects: {folders}"


def test_the_template_has_no_project_or_data_open(launch: Launch, projects: Path) -> None:
    instance = launch("--rootdir", str(projects))
    assert instance.ows(**GET_MAP).status == 200
    template = instance.child("template").pid
    opened = [os.readlink(f"/proc/{template}/fd/{name}") for name in os.listdir(f"/proc/{template}/fd")]
    files = {path for path in opened if path.startswith("/") and not path.startswith(("/dev/", "/memfd:"))}
    assert {Path(path).name for path in files} <= OPENED_BY_QGIS, files


def _sockets(pid: int) -> set[str]:
    """What a process could take from another: its sockets and pipes, and the wake-ups of its event loops."""
    held = {entry.name: os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    wakeups = [fd for fd, link in held.items() if link == "anon_inode:[eventfd]"]
    links = {link for link in held.values() if link.startswith(("socket:", "pipe:"))}
    return links | {f"eventfd {_eventfd_id(pid, fd)}" for fd in wakeups}


def _eventfd_id(pid: int, fd: str) -> str:
    text = Path(f"/proc/{pid}/fdinfo/{fd}").read_text()
    return text.partition("eventfd-id:")[2].split()[0]


def test_a_worker_shares_no_descriptor_with_another(launch: Launch, projects: Path) -> None:
    instance = launch("--rootdir", str(projects), "-w", "3")
    pids = [row["pid"] for row in instance.workers()]
    held = {pid: _sockets(pid) for pid in [*pids, instance.child("template").pid]}
    for pid in pids:
        others = set().union(*(sockets for other, sockets in held.items() if other != pid))
        assert held[pid], "a worker has its channel and its log at least"
        assert not held[pid] & others


def test_openblas_has_no_threads_in_the_template(launch: Launch, projects: Path) -> None:
    """Threads do not survive a fork; those that QGIS starts are known and not needed in a worker."""
    instance = launch("--rootdir", str(projects))
    template = instance.child("template").pid
    names = [(task / "comm").read_text().strip() for task in Path(f"/proc/{template}/task").iterdir()]
    known = ("qgsd: template", "Qt bearer", "QDBusConnection", "QCA::", "QThread", "gmain", "dconf", "pool-")
    assert [name for name in names if not name.startswith(known)] == []


PROJECT_WITH_REMOTE_LAYER = """
import os, sys
os.environ["QT_QPA_PLATFORM"] = "offscreen"
from qgis.core import QgsApplication, QgsProject, QgsRasterLayer
application = QgsApplication([], False)
application.initQgis()
layer = QgsRasterLayer(sys.argv[1], "remote", "wms")
assert layer.isValid(), layer.error().message()
QgsProject.instance().addMapLayer(layer)
assert QgsProject.instance().write(sys.argv[2])
os._exit(0)
"""


def test_remote_layers_work_in_a_forked_worker(launch: Launch, projects: Path, tmp_path: Path) -> None:
    """QGIS's network code uses threads and D-Bus of the template's time; a worker must do without."""
    origin = launch("--rootdir", str(projects))
    root = tmp_path / "remote"
    root.mkdir()
    address = f"http%3A//127.0.0.1:{origin.port}/ows/?MAP%3Dworld"
    source = f"crs=EPSG:3857&format=image/png&layers=countries&styles=&url={address}"
    script = [sys.executable, "-c", PROJECT_WITH_REMOTE_LAYER, source, str(root / "remote.qgs")]
    made = subprocess.run(script, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr
    instance = launch("--rootdir", str(root), "-w", "1")
    before = origin.ctl_json("status")["counters"]["requests"]
    for _ in range(2):
        answer = instance.ows("remote", **(GET_MAP | {"LAYERS": "remote"}))
        assert (answer.status, len(answer.body) > 2000) == (200, True), answer.text[:300]
        instance.ctl("kill", "0")
    assert origin.ctl_json("status")["counters"]["requests"] > before
