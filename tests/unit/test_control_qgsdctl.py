# SPDX-License-Identifier: GPL-2.0-or-later
"""qgsdctl as a shell sees it: arguments in, output and exit status out."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qgsd import __version__
from qgsd.control import locate, tables
from qgsd.control.commands import COMMANDS
from qgsd.control.progress import progress_text
from qgsd.control.qgsdctl import main, parse
from tests.unit.test_control_support import PATIENCE, Served, serving, until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path / "control") as served:
        yield served


Ctl = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ctl(served: Served, capsys: pytest.CaptureFixture[str]) -> Ctl:
    """Run qgsdctl in this process against the served instance."""

    def run(*argv: str) -> tuple[int, str, str]:
        status = main(["--control", served.address, "--timeout", "10", *argv])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def child(address: str, *argv: str, **options: Any) -> subprocess.Popen[str]:
    """Run qgsdctl in a process of its own."""
    line = [sys.executable, "-m", "qgsd.control.qgsdctl", "--control", address, *argv]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT, **options}
    return subprocess.Popen(line, **options)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["status"], r"qgsd is running, pid \d+, up 1h02m; qgsd 1.2.3, QGIS 3.22.16\n"),
        (["status"], r"(?m)^workers +2 of 2 ready, 0 busy$"),
        (["ps"], r"(?m)^master +- +\d+ +idle +1s +0 +32M +16M +0% +-$"),
        (["ps"], r"(?m)^worker +1 +- +backoff .*evil\?\[2J$"),
        (["ps", "--tree"], r"(?m)^└─ worker 0 +4711 +busy +1s"),
        (["scale", "3"], r"^workers: 3 of 3 ready"),
        (["scale", "+2"], r"^workers: 4 of 4 ready"),
        (["scale", "-1"], r"^workers: 1 of 1 ready"),
        (["scale", "far", "+1"], r"^workers: 3 of 3 ready"),
        (["scale", "far", "-1"], r"^workers: 1 of 1 ready"),
        (["drain", "far"], r"^far has finished and gone$"),
        (["restart", "far"], r"^restarted: "),
        (["restart", "--here"], r"^restarted: "),
        (["kill", "far/3"], r"^killed: slot 3, pid 4712, machine far$"),
        (["reload"], r"(?m)^all +flipped$"),
        (["reload", "town"], r"(?m)^town +flipped$"),
        (["reload", "--no-wait"], r"^reload: accepted$"),
        (["restart"], r"^restarted: "),
        (["kill", "1"], r"^killed: slot 1, pid 4711$"),
        (["kill", "--no-wait", "1"], r"^kill: accepted$"),
        (["queue"], r"(?m)^ +3 +1 +1.2s +0 +town/sewers$"),
        (["plugins"], r"(?m)^tiles +1.2 +loaded$"),
        (["plugins"], r"(?m)^bad\?\[2J +- +broken +no module$"),
        (["set", "server.timeout", "5"], r"^server.timeout = 5$"),
        (["top"], r"(?m)^worker 1 +- +backoff +- "),
        (["events"], r"worker.ready +worker 0 is ready  \(slot=0\)$"),
        (["config"], r"(?m)^server.port +8080 +default +restart$"),
        (["log-level", "DEBUG"], r"^log level set: level debug$"),
        (["ping"], r"^pong \(\d+\.\d ms\)$"),
        (["version"], rf"^qgsdctl  {re.escape(__version__)}\nmaster   1.2.3\nQGIS     3.22.16$"),
        (["stop", "--no-wait"], r"^qgsd \(pid \d+\) is stopping$"),
    ],
)
def test_text_for_people(ctl: Ctl, argv: list[str], text: str) -> None:
    status, out, err = ctl(*argv)
    assert (status, err) == (0, "")
    assert re.search(text, out.rstrip("\n") + "\n" * ("\\n" in text)), out
    assert "\x1b" not in out
    assert not re.search(r"(?m) $", out)


def test_json_is_one_document(ctl: Ctl) -> None:
    def document(*argv: str) -> Any:
        status, out, _ = ctl(*argv)
        assert status == 0
        return json.loads(out)

    assert document("--json", "status")["workers"]["ready"] == 2
    assert document("ps", "--json")[1]["slot"] == 1
    assert document("scale", "--json", "4") == {"target": 4, "ready": 4, "busy": 0, "starting": 0}
    assert document("--json", "reload", "town")[0]["status"] == "flipped"
    assert document("--json", "events")["event"] == "worker.ready"
    assert document("--json", "ping")["ms"] > 0
    assert document("--json", "version") == {
        "qgsdctl": __version__,
        "version": "1.2.3",
        "qgis_version": "3.22.16",
    }
    assert document("--json", "stop", "--no-wait")["stopped"] is False


def test_refused_is_1(ctl: Ctl) -> None:
    assert ctl("scale", "101") == (1, "", "qgsdctl: 101 workers are more than the memory holds\n")
    assert ctl("kill", "13")[0] == 1
    status, out, _ = ctl("--json", "scale", "101")
    assert status == 1
    assert json.loads(out)["error"]["code"] == "too_many"


def test_a_project_that_kept_its_old_version_is_1(ctl: Ctl) -> None:
    status, out, _ = ctl("reload", "bad/project")
    assert status == 1
    assert re.search(r"bad/project +kept-old +layer 'roads' has no source", out)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["stauts"], "did you mean 'status'"),
        (["xyzzy"], "there are: status, ps"),
        (["scale"], "required"),
        (["scale", "many"], "'many' is not a number"),
        (["kill", "far/x"], "is not the number of a slot"),
        (["kill", "-3"], "is not the number of a slot"),
        (["kill", "9999999999"], "kill: "),
        (["log-level", "loud"], "invalid choice"),
        (["status", "extra"], "unrecognized"),
        (["--timeout", "soon", "ping"], "not a number of seconds"),
        (["--timeout", "nan", "ping"], "not a number of seconds"),
        (["--bogus", "ping"], "unrecognized"),
        (["--jsn", "ping"], "did you mean --json?"),
        (["scale", "3", "--nowait"], "did you mean --no-wait?"),
        (["completion"], "say for which shell: bash, zsh, fish"),
        (["completion", "tcl"], "invalid choice"),
        (["help", "stauts"], "did you mean"),
        ([], "commands:"),
    ],
)
def test_wrong_usage_is_2(argv: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--control", "ipc:///nowhere", *argv]) == 2
    captured = capsys.readouterr()
    assert text in captured.err
    assert captured.out == ""


def test_nobody_there_is_3_and_soon(tmp_path: Path) -> None:
    begin = time.monotonic()
    with child(f"ipc://{tmp_path}/none", "status") as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (3, "")
    assert err.startswith("qgsdctl: no master answers: there is no socket")
    assert time.monotonic() - begin < 4


def test_no_instance_is_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(locate, "runtime_directory", lambda: tmp_path)
    assert main(["status"]) == 3
    assert main(["--instance", "maps", "status"]) == 3
    assert main(["status", "--instance", "../maps"]) == 2
    assert "start it with `qgsd start --instance maps`" in capsys.readouterr().err


def test_the_local_instance_is_found(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(locate, "runtime_directory", lambda: tmp_path)
    with (tmp_path / "maps.pid").open("w") as pidfile:
        fcntl.flock(pidfile, fcntl.LOCK_EX)
        pidfile.write(f"1\n{served.address}\n")
        pidfile.flush()
        assert main(["ping"]) == 0
        assert main(["ping", "--instance", "maps"]) == 0
    assert capsys.readouterr().out.count("pong") == 2


def test_help_comes_from_the_classes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in COMMANDS.values():
        assert re.search(rf"(?m)^  {command.name} +{re.escape(command.help)}$", text)
        assert main([command.name, "--help"]) == 0
        assert command.describe() in capsys.readouterr().out
    assert main(["help", "scale"]) == main(["help"]) == 0
    assert main(["--version"]) == 0


def test_global_options_may_stand_on_both_sides() -> None:
    for argv in (["--json", "--timeout", "3", "scale", "-1"], ["scale", "-1", "--timeout", "3", "--json"]):
        command, options = parse(argv)
        assert (command.name, options.workers) == ("scale", "-1")
        assert (options.json, options.timeout, options.control) == (True, 3.0, None)


def test_stop_waits_until_the_process_is_gone(ctl: Ctl, served: Served) -> None:
    with subprocess.Popen(["sleep", "100"]) as process:
        served.instance.pid, served.instance.child = process.pid, process
        status, out, _ = ctl("--json", "stop", "--now")
        assert status == 0
        assert json.loads(out) == {"now": True, "pid": process.pid, "stopped": True}
        assert process.wait(0) == -signal.SIGKILL


def test_stop_gives_up_after_the_timeout(ctl: Ctl) -> None:
    status, _, err = ctl("stop", "--timeout", "0.3")
    assert status == 1
    assert "still runs after 0.3 s" in err


def test_stop_over_tcp_waits_for_silence(capsys: pytest.CaptureFixture[str]) -> None:
    with serving("tcp://127.0.0.1:*") as served:

        async def stop(*, now: bool) -> dict[str, Any]:
            served.loop.call_later(0.1, served.stop.set)
            return {}

        served.instance.stop = stop  # type: ignore[method-assign]
        assert main(["--control", served.address, "stop"]) == 0
    assert "has stopped" in capsys.readouterr().out


def test_following_prints_a_line_an_event_at_once_and_ends_quietly(served: Served) -> None:
    def heed_interrupts() -> None:
        # A shell starts its background jobs deaf to them, the tests of a CI for one.
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with child(served.address, "events", "--follow", "--json", preexec_fn=heed_interrupts) as process:
        assert process.stdout is not None
        until(lambda: served.instance.followers, "the follower")
        for number in range(3):
            served.do(served.instance.happen, "scaled", f"to {number}")
            assert json.loads(process.stdout.readline())["reason"] == f"to {number}"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (130, "", "")
    until(lambda: not served.instance.followers, "the end of following")


def test_a_reader_that_has_had_enough_is_no_error(served: Served) -> None:
    with child(served.address, "events", "-f") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        until(lambda: served.instance.followers, "the follower")
        served.do(served.instance.happen, "scaled", "to 1")
        assert "to 1" in process.stdout.readline()
        process.stdout.close()

        def ended() -> bool:
            served.do(served.instance.happen, "scaled", "to 2")
            return process.poll() is not None

        until(ended, "the end of qgsdctl")
        assert (process.returncode, process.stderr.read()) == (0, "")


@pytest.mark.parametrize("no_color", [False, True])
def test_colour_and_progress_on_a_terminal_only(served: Served, no_color: bool) -> None:
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    environment.pop("NO_COLOR", None)
    if no_color:
        environment["NO_COLOR"] = "1"
    leader, follower = pty.openpty()
    served.do(served.instance.gate.clear)
    with child(
        served.address, "reload", "town", stdout=follower, stderr=follower, env=environment
    ) as process:
        os.close(follower)
        shown = b""
        while b"reloading (0 of 1)" not in shown:
            shown += os.read(leader, 4096)
        served.do(served.instance.gate.set)
        while b"flipped" not in shown:
            shown += os.read(leader, 4096)
        process.wait(PATIENCE)
    os.close(leader)
    assert (b"\x1b[32m" in shown) is not no_color


def test_an_answer_of_another_version_is_shown_as_it_is(ctl: Ctl, served: Served) -> None:
    served.instance.status = lambda: {"state": "running", "news": 1}  # type: ignore[assignment,method-assign,return-value]
    status, out, _ = ctl("status")
    assert status == 0
    assert json.loads(out)["news"] == 1


def test_progress_without_a_message() -> None:
    assert progress_text({"ready": 3, "target": 8}) == "ready 3 target 8"
    assert progress_text({"message": "1 of 2 done", "done": 1, "total": 2}) == "1 of 2 done"
    assert progress_text({"done": 1, "total": 2}) == "(1 of 2)"
    assert progress_text({"message": "a\x1bb"}) == "a?b"


def test_units() -> None:
    assert [tables.duration(s) for s in (0, 61, 3600, 90000)] == ["0s", "1m01s", "1h00m", "1d01h"]
    assert [tables.size(n << 20) for n in (0, 300, 20480)] == ["0M", "300M", "20.0G"]
