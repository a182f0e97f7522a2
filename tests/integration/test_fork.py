# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules of docs/fork-safety.md, each guarded by a test on real forks."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from qgsd import allocator, channel, messages
from qgsd.control import Client
from qgsd.worker import spare
from tests.integration.instance import GET_MAP, Instance, ows_path
from tests.waiting import wait_for

PLUGINS = Path(__file__).parents[1] / "plugins"
Launch = Callable[..., Instance]

# QGIS opens these itself at start, before anybody could prevent it. All are SQLite files that are
# only read by position (pread), so sharing the descriptor shares no offset.
OPENED_BY_QGIS = {"symbology-style.db", "qgis.db", "srs.db", "proj.db"}


def test_forks_of_one_template_differ_in_folder_and_random_numbers(launch: Launch, projects: Path) -> None:
    """And though they draw the same names of temporary files, a zipped project opens in all of them."""
    _zip(projects)
    instance = launch("--rootdir", str(projects), "-w", "1", "--set", f"server.pluginpath={PLUGINS}")
    inside, names = [], []
    for _ in range(3):
        inside.append(instance.ows(SERVICE="PROBE", REQUEST="inside").json())
        assert inside[-1]["tmpdir"] == inside[-1]["python_tmp"] == inside[-1]["qt_tmp"]
        assert Path(inside[-1]["tmpdir"]).is_dir()
        assert instance.ows("zipped", SERVICE="WMS", REQUEST="GetCapabilities").status == 200
        # Qt gives up after 256 names that are taken: a worker takes more, and the next draws them again.
        told = instance.ows("zipped", SERVICE="PROBE", REQUEST="folders", VALUE="300").json()
        assert len(told["names"]) == 300
        names.append(set(told["names"]))
        instance.ctl("kill", "0")
        assert not Path(inside[-1]["tmpdir"]).exists()
    for what in ("tmpdir", "random", "numpy_random"):
        assert len({told[what] for told in inside}) == 3, what
    # None: this numpy computes without OpenBLAS.
    assert {told["blas_threads"] for told in inside} <= {1, None}
    assert names[0] & names[1] & names[2], "Qt draws other names in each fork: this shows nothing any more"


@pytest.mark.skipif(not allocator.find(), reason="libjemalloc2 is not installed")
def test_workers_run_with_jemalloc_unless_told_otherwise(launch: Launch, projects: Path) -> None:
    for choice, expected in (("auto", True), ("system", False)):
        instance = launch("--rootdir", str(projects), "-w", "1", "--set", f"server.allocator={choice}")
        assert instance.ows(**GET_MAP).status == 200
        mapped = Path(f"/proc/{instance.workers()[0]['pid']}/maps").read_text()
        assert ("libjemalloc" in mapped) is expected


def test_workers_give_way_to_those_who_take_requests(launch: Launch, projects: Path) -> None:
    instance = launch("--rootdir", str(projects), "-w", "1")
    policies = {row["role"]: os.sched_getscheduler(row["pid"]) for row in instance.ctl_json("ps")}
    assert policies["worker"] == os.SCHED_BATCH
    assert policies["http"] == policies["dispatcher"] == os.SCHED_OTHER


def _zip(projects: Path) -> None:
    """Beside the world, the same as `zipped.qgz`."""
    line = [sys.executable, "-m", "zipfile", "-c", "zipped.qgz", "world.qgs"]
    subprocess.run(line, cwd=projects, check=True)


def test_hundreds_of_forks_load_zipped_projects(launch: Launch, projects: Path) -> None:
    """Forks do not wear out the template: the last are as good as the first."""
    _zip(projects)
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
    assert len(folders) == 4, f"template, one worker, copies of projects, kept answers: {folders}"


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
    _spare(instance)
    # Its successor was forked in advance.
    instance.ctl("kill", "0")
    pids = [row["pid"] for row in instance.workers()]
    held = {pid: _sockets(pid) for pid in [*pids, instance.child("template").pid]}
    for pid in pids:
        others = set().union(*(sockets for other, sockets in held.items() if other != pid))
        assert held[pid], "a worker has its channel and its log at least"
        assert not held[pid] & others


def _spare(instance: Instance) -> int:
    """The pid of the fork that the template has in hand."""

    def find() -> list[int]:
        family = instance.family()
        return [
            child.pid for child in family if psutil.pid_exists(child.pid) and _title(child) == "qgsd: spare"
        ]

    return wait_for("a spare", find)[0]


def _title(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return "".join(process.cmdline()[:1])
    return ""


def test_a_worker_is_forked_before_it_is_needed(launch: Launch, projects: Path) -> None:
    """And again and again: one in five once hung in what it did beforehand."""
    instance = launch("--rootdir", str(projects), "-w", "1")
    for _ in range(8):
        waiting = _spare(instance)
        assert psutil.Process(waiting).ppid() == instance.pid
        instance.ctl("kill", "0")
        assert [row["pid"] for row in instance.workers()] == [waiting]
        assert instance.ows(**GET_MAP).status == 200


def test_nobody_waits_for_a_spare_that_is_not_ready() -> None:
    ours, theirs = channel.pair()
    with subprocess.Popen(["sleep", "60"]) as stuck:
        order = messages.Fork(1, "/tmp")
        assert not spare.Spare(channel.MasterEnd(ours), stuck.pid).begins(order, [], lambda told: None)
        assert stuck.wait(10) == -signal.SIGKILL
    theirs.close()


def test_workers_come_without_a_spare_too(launch: Launch, projects: Path) -> None:
    """Also one that was killed while it waited; and it does not outlive its template."""
    instance = launch("--rootdir", str(projects), "-w", "1")
    waiting = psutil.Process(_spare(instance))
    waiting.kill()
    wait_for("its end", lambda: not waiting.is_running())
    instance.ctl("kill", "0")
    assert instance.ows(**GET_MAP).status == 200
    waiting = psutil.Process(_spare(instance))
    instance.child("template").kill()
    wait_for("its end", lambda: not waiting.is_running())


def test_the_template_has_only_threads_of_qgis(launch: Launch, projects: Path) -> None:
    """Threads do not survive a fork; those that QGIS starts are known and not needed in a worker."""
    instance = launch("--rootdir", str(projects))
    template = instance.child("template").pid
    tasks = Path(f"/proc/{template}/task").iterdir()
    names = [(task / "comm").read_text().strip() for task in tasks if task.name != str(template)]
    known = ("Qt bearer", "QDBusConnection", "QCA::", "QThread", "gmain", "dconf", "pool-")
    assert [name for name in names if not name.startswith(known)] == []
    # Python 3.12 and later warn of them at each fork; the template has an answer to that.
    assert "fork" not in instance.log_text


WARM_UP = """
import os
from qgis.core import QgsApplication
from qgis.server import QgsServer
from qgsd.worker.warmup import warm_up
application = QgsApplication([], False)
print("failed:", warm_up(QgsServer()), flush=True)
os._exit(0)
"""


def _warm_up(**variables: str) -> str:
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", **variables}
    line = [sys.executable, "-c", WARM_UP]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()[-1]


def test_all_that_warms_up_is_understood() -> None:
    """Else it would warm nothing, and nobody would notice."""
    assert _warm_up() == "failed: []"


def test_nothing_is_drawn_before_the_fork_where_qgis_draws_in_threads() -> None:
    assert "in threads" in _warm_up(QGIS_SERVER_PARALLEL_RENDERING="1")


def test_a_busy_worker_dies_with_the_master(launch: Launch, projects: Path) -> None:
    """It sees the end of its channel only after its request; so the kernel must end it."""
    instance = launch("--rootdir", str(projects), "-w", "1", "--set", f"server.pluginpath={PLUGINS}")
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", instance.port, timeout=60)) as client:
        client.request("GET", ows_path(SERVICE="PROBE", REQUEST="sleep", VALUE="60"))
        (busy,) = wait_for("it is busy", lambda: [r for r in instance.workers() if r["state"] == "busy"])
        worker = psutil.Process(busy["pid"])
        instance.signal("KILL")
        worker.wait(5)


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
    instance = launch("--rootdir", str(root), "-w", "1", "--set", "network.hosts=127.0.0.1")
    before = origin.ctl_json("status")["counters"]["requests"]
    for _ in range(2):
        answer = instance.ows("remote", **(GET_MAP | {"LAYERS": "remote"}))
        assert (answer.status, len(answer.body) > 2000) == (200, True), answer.text[:300]
        instance.ctl("kill", "0")
    assert origin.ctl_json("status")["counters"]["requests"] > before
