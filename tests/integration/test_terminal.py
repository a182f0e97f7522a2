# SPDX-License-Identifier: GPL-2.0-or-later
"""qgsdctl where people sit: completion in real shells, progress and `top` on a real terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.integration.instance import BIN, Instance

PATIENCE = 15.0
PATH = f"{BIN}:{os.environ['PATH']}"


# Colours, and where the cursor goes.
_DRAWING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A program on a terminal of its own: what is typed into it, and what it shows."""

    def __init__(self, line: Sequence[str], **environment: str) -> None:
        self._leader, follower = pty.openpty()
        self.process = subprocess.Popen(
            line, stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
            env={**os.environ, "PATH": PATH, "TERM": "xterm", "COLUMNS": "150", "LINES": "45", **environment},
        )  # fmt: skip
        os.close(follower)
        self.shown = ""

    def type(self, text: str) -> None:
        self.shown = ""
        os.write(self._leader, text.encode())

    def wait(self, pattern: str) -> re.Match[str]:
        """Until what it has shown since the last key matches."""
        until = time.monotonic() + PATIENCE
        while not (match := re.search(pattern, self.shown)):
            assert time.monotonic() < until, f"{pattern!r} is not in {self.shown!r}"
            if select.select([self._leader], [], [], 0.2)[0]:
                try:
                    read = os.read(self._leader, 65536).decode("utf-8", "replace")
                except OSError:
                    raise AssertionError(f"it ended: {self.shown!r}") from None
                self.shown += _DRAWING.sub("", read)
        return match

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._leader)


SET_UP = {
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        "bind 'set show-all-if-ambiguous on' 2>/dev/null; PS1='> '",
    ),
    "zsh": (["zsh", "-f", "-i"], "PS1='> '; autoload -U compinit && compinit -D -u"),
}
LINES = [
    ("qgsdctl rel", "reload"),
    ("qgsdctl {control} load w", "load world "),
    ("qgsdctl {control} kill ", r"\b0 .*\b1 .*{worker}"),
    ("qgsdctl set zmq.maxq", "zmq.maxqueue "),
    ("qgsdctl log-level d", "debug "),
    ("qgsdctl scale --no", "--no-wait "),
    ("qgsd run --po", "--port "),
    ("qgsd completion z", "zsh "),
]


@pytest.fixture(scope="module", params=sorted(SET_UP))
def shell(request: pytest.FixtureRequest) -> Iterator[Terminal]:
    if shutil.which(request.param) is None:
        pytest.skip(f"there is no {request.param}")
    line, prepare = SET_UP[request.param]
    terminal = Terminal(line)
    try:
        scripts = "; ".join(f'eval "$({name} completion {request.param})"' for name in ("qgsdctl", "qgsd"))
        terminal.type(f"{prepare}; {scripts}; echo rea''dy\n")
        terminal.wait("ready\r\n")
        yield terminal
    finally:
        terminal.close()


@pytest.mark.parametrize(("typed", "completed"), LINES, ids=[line for line, _ in LINES])
def test_completion_by_key(server: Instance, shell: Terminal, typed: str, completed: str) -> None:
    facts = {"control": f"--control {server.control}", "worker": server.workers()[0]["pid"]}
    shell.type(typed.format(**facts) + "\t")
    shell.wait(f"(?s){completed.format(**facts)}")
    # The line is dropped, and all of its echo has been read when the next one begins.
    shell.type("\x15echo ne''xt\n")
    shell.wait("next\r\n")


def test_completion_in_fish(server: Instance) -> None:
    if shutil.which("fish") is None:
        pytest.skip("there is no fish")
    control = f"--control {server.control}"
    lines = [
        "qgsdctl relo", f"qgsdctl {control} load w", f"qgsdctl {control} kill ", "qgsdctl log-level d",
        "qgsd run --por",
    ]  # fmt: skip
    script = "qgsdctl completion fish | source; qgsd completion fish | source\n" + "".join(
        f"complete -C '{line}' | string replace -r '\\t.*' '' | string join ' '\n" for line in lines
    )
    told = subprocess.run(
        ["fish", "--no-config", "-c", script],
        env={**os.environ, "PATH": PATH},
        capture_output=True,
        text=True,
    )
    pids = [str(row["pid"]) for row in server.ctl_json("ps") if row["role"] != "master"]
    assert told.stdout.splitlines() == [
        "reload",
        "world",
        " ".join(sorted(["0", "1", *pids])),
        "debug",
        "--port",
    ]
    assert told.stderr == ""


@pytest.mark.parametrize("kind", ["projects", "slots"])
def test_completion_without_an_instance_says_nothing_and_soon(kind: str, tmp_path: Path) -> None:
    began = time.monotonic()
    line = f"qgsdctl --control ipc://{tmp_path}/none reload "
    told = subprocess.run(
        [BIN / "qgsdctl", "completion", "--live", kind, line],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    assert time.monotonic() - began < 5


def test_a_restart_says_on_the_terminal_what_it_waits_for(server: Instance) -> None:
    terminal = Terminal([str(BIN / "qgsdctl"), "--control", server.control, "restart"])
    try:
        terminal.wait(r"\d of 5 processes replaced; waiting for \w+")
        terminal.wait("restarted: generation")
    finally:
        terminal.close()


def test_the_tree_has_everybody_once(server: Instance) -> None:
    told = server.ctl("ps", "--tree").stdout
    assert sorted(re.findall(r"(?m)^\W*[a-z]+(?: \d+)? +(\d+) ", told)) == sorted(
        str(row["pid"]) for row in server.ctl_json("ps")
    )
    assert re.search(r"(?m)^└─ template .*\n   ├─ worker 0 .*\n   └─ worker 1 ", told)


def test_top_kills_what_was_confirmed(server: Instance) -> None:
    victim = server.workers()[1]["pid"]
    terminal = Terminal([str(BIN / "qgsdctl"), "--control", server.control, "top", "-i", "0.3"])
    try:
        terminal.wait("answers/s(.|\n)*k kill")
        terminal.type("k1\r")
        terminal.wait(rf"kill worker 1 \(pid {victim}\)")
        terminal.type("x")
        terminal.wait("nothing was killed")
        assert server.workers()[1]["pid"] == victim
        terminal.type("k1\ry")
        terminal.wait("is killed and will be replaced")
        terminal.wait(rf"worker 1 +(?!{victim})\d+ ")
        terminal.type("q")
        assert terminal.process.wait(PATIENCE) == 0
    finally:
        terminal.close()


def test_start_and_stop_tell_what_they_wait_for(projects: Path, tmp_path: Path) -> None:
    whose = ("--pidfile", str(tmp_path / "q.pid"))
    start = ("start", "--rootdir", str(projects), "-p", "0", "-b", "127.0.0.1", *whose)
    for line, said in ((start, "starting: waiting until it serves"), (("stop", *whose), "stopping: waiting")):
        terminal = Terminal([str(BIN / "qgsd"), *line])
        try:
            terminal.wait(said)
            assert terminal.process.wait(PATIENCE) == 0
        finally:
            terminal.close()
    # Nothing where nobody looks.
    for line in (start, ("stop", *whose)):
        done = subprocess.run([BIN / "qgsd", *line], capture_output=True, text=True, timeout=30)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
