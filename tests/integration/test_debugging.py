# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/debugging.md, command by command, on a worker that has really crashed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.instance import BIN, Instance, ows_path
from tests.waiting import wait_for

PAGE = Path(__file__).parents[2] / "docs" / "debugging.md"
PLUGINS = Path(__file__).parents[1] / "plugins"
CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")
YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")

needs_gdb = pytest.mark.skipif(not shutil.which("gdb"), reason="gdb is not installed")


class WithCores(Instance):
    """Started from a shell as the page has it, in its own folder."""

    def _spawn(self, line: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["sh", "-c", 'ulimit -c unlimited; exec "$@"', "sh", *line], stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=subprocess.STDOUT, env=self.environment, cwd=self.folder,
        )  # fmt: skip


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory, shared_root: Path) -> Iterator[Instance]:
    settings = ("--set", f"server.pluginpath={PLUGINS}", "--set", "confine.core_dumps=yes")
    arguments = ("--rootdir", str(shared_root), "-w", "1", *settings)
    instance = WithCores(tmp_path_factory.mktemp("q") / "i", "run", arguments)
    try:
        instance.wait_serving()
        assert instance.get(ows_path(SERVICE="PROBE", REQUEST="abort")).status == 500
        wait_for("a worker is there again", lambda: [w for w in instance.workers() if w["state"] == "idle"])
        yield instance
    finally:
        left = instance.end()
        for core in instance.folder.glob("core*"):
            core.unlink()
    assert not left, f"left behind: {left}"


def commands() -> list[str]:
    return re.findall(r"(?m)^\$ (.+)$", PAGE.read_text())


# Those of the shell that starts qgsd, which the fixture is.
STARTING = {"ulimit -c unlimited", "qgsd run -c qgsd.ini --set confine.core_dumps=yes"}
PLAIN = [one for one in commands() if not one.startswith(("gdb", "kill")) and one not in STARTING]


def shell(instance: Instance, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    front = 'qgsdctl() { command qgsdctl --control "$CONTROL" "$@"; }\n'
    env = os.environ | {
        "PATH": f"{BIN}:{os.environ['PATH']}", "CONTROL": instance.control, "LOG": str(instance.log_path),
        "DEBUGINFOD_URLS": "",
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", front + script], capture_output=True, text=True, timeout=100,
        env=env | variables, cwd=instance.folder,
    )  # fmt: skip
    assert done.returncode == 0, f"{script}: {done.stdout} {done.stderr}"
    return done


def test_the_page_has_the_commands_that_are_tested() -> None:
    assert set(commands()) > STARTING
    assert [one.split()[0] for one in commands() if one not in PLAIN and one not in STARTING] == [
        "gdb", "kill", "gdb",
    ]  # fmt: skip


def test_log_events_and_quarantine_tell_of_the_crash(crashed: Instance) -> None:
    # Behind `kill` comes what it leaves in the log: there since the crash of the fixture.
    told = shell(crashed, "\n".join(PLAIN)).stdout
    assert "worker 0 was ended by SIGABRT while it served world" in told
    assert re.search(r"qgsd\.worker 0: \[[\w-]+\] Fatal Python error: Aborted", told)
    assert re.search(r'\[[\w-]+\]   File ".*probe/__init__\.py", line \d+ in _abort', told)
    assert "REQUEST=abort" in told
    assert crashed.ctl_json("quarantine") == []


@needs_gdb
@pytest.mark.skipif(
    os.geteuid() != 0 and YAMA.exists() and YAMA.read_text().strip() != "0",
    reason="only root may look into other processes on this machine",
)
def test_gdb_shows_the_threads_of_a_worker(crashed: Instance) -> None:
    (command,) = [one for one in commands() if one.startswith("gdb -batch -p")]
    (worker,) = crashed.workers()
    assert re.search(r"Thread 1 .*\n#0 ", shell(crashed, command, PID=str(worker["pid"])).stdout)
    wait_for("a worker is idle", lambda: [w for w in crashed.workers() if w["state"] == "idle"])


@needs_gdb
@pytest.mark.skipif(
    not re.fullmatch(r"core[\w.%-]*\s*", CORE_PATTERN.read_text()),
    reason="cores go elsewhere on this machine",
)
def test_a_core_has_the_backtrace_of_the_crash(crashed: Instance) -> None:
    (command,) = [one for one in commands() if "$CORE" in one]
    cores = wait_for("the core", lambda: sorted(crashed.folder.glob("core*")))
    told = shell(crashed, command, CORE=str(cores[-1])).stdout
    assert "SIGABRT" in told
    assert re.search(r"#\d+ .*abort", told)


def test_a_signal_makes_a_worker_tell_where_it_is(crashed: Instance) -> None:
    (command,) = [one for one in commands() if one.startswith("kill")]
    wait_for("one worker", lambda: len(crashed.workers()) == 1)
    (worker,) = crashed.workers()
    before = crashed.log_text.count("Fatal Python error: Aborted")
    shell(crashed, command, PID=str(worker["pid"]))
    wait_for("it is told", lambda: crashed.log_text.count("Fatal Python error: Aborted") > before)
    # Until then the kernel may be writing its core, in the place of the other one.
    wait_for("it has ended", lambda: not psutil.pid_exists(worker["pid"]))
