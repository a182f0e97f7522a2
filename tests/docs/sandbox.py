# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the commands of the documentation are run: a machine of their own, as far as they can see.

A shell in name spaces of its own: processes (all of them end with it), network (every port is free, nobody
else is reached) and mounts (/etc, /run, /srv, /var/log and the home folder are copies or empty, and gone
afterwards).
"""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent
PATIENCE = 40.0

# No `ip`: a small Debian has none.
_LOOPBACK = (
    "import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sH14x', b'lo', 0x41))"
)
# Jobs of a shell without a terminal are deaf to interrupts; and make and what it started get it together.
_LIKE_A_PERSON = (
    f"setsid {sys.executable} -c 'import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    """os.execvp("bash", ["bash", "-c", sys.argv[1]])'"""
)
_PREPARE = """
set -e
cp -a /etc {own}/etc 2>/dev/null || true
mount --bind {own}/etc /etc
for folder in run srv var/log; do mount -t tmpfs tmpfs /$folder; done
{python} -c "{loopback}"
set +e
"""


class Sandbox:
    """One shell that is told commands. Ends with `close`."""

    def __init__(self, own: Path) -> None:
        (own / "home").mkdir(parents=True)
        (own / "bin").mkdir()
        # What make would install first is there, for these tests run.
        (own / "bin" / "make").write_text(f'#!/bin/sh\nexec {shutil.which("make")} -o .venv/.ready "$@"\n')
        (own / "bin" / "make").chmod(0o755)
        environment = {name: value for name, value in os.environ.items() if "QGSRV_" not in name}
        path = f"{own / 'bin'}:{BIN}:{environment['PATH']}"
        environment |= {"HOME": str(own / "home"), "PATH": path, "LANG": "C.UTF-8", "XDG_RUNTIME_DIR": "/run"}
        for name in [name for name in environment if name.lower().endswith("_proxy")]:
            del environment[name]
        self._shell = subprocess.Popen(
            [*_unshare(), "bash", "--norc", "--noprofile"], env=environment, cwd=own / "home", bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._read = ""
        self._background: list[str] = []
        self._started = 0
        prepare = _PREPARE.format(own=own, python=sys.executable, loopback=_LOOPBACK)
        status, said = self.run(prepare)
        assert status == 0, said

    def run(self, command: str, seconds: float = PATIENCE) -> tuple[int, str]:
        """A command's exit status, and what it said on both channels."""
        assert self._shell.stdin is not None
        self._shell.stdin.write(f'{{ {command}\n}} </dev/null 2>&1; echo "[ended $?]"\n'.encode())
        match = self._wait(re.compile(r"(?s)(.*?)\[ended (\d+)\]\n"), seconds, command)
        return int(match[2]), match[1]

    def do(self, command: str) -> None:
        """A command that must not fail."""
        status, said = self.run(command)
        assert status == 0, f"{command}: {said}"

    def start(self, command: str, machine: str | None = None) -> str:
        """Begin a command that runs until it is interrupted; the name of the file with what it says.

        `machine`: the name of another one, which has a /run of its own and the rest with this one.
        """
        self._started += 1
        # Never a name that was used before: what stands there would be taken for this one's.
        said = f"$HOME/.said-{self._started}"
        # The variables before a command are none of exec's.
        command = f"exec env {command}"
        if machine:
            alone = f"hostname {machine}; mount -t tmpfs tmpfs /run; {command}"
            command = f"exec unshare --mount --uts bash -c {_quoted(alone)}"
        status, told = self.run(f"{_LIKE_A_PERSON} {_quoted(command)} >{said} 2>&1 &\necho $!")
        assert status == 0, told
        self._background.append(told.split()[-1])
        return said

    def wait_said(self, said: str, expected: re.Pattern[str]) -> str:
        """Until the file has what is expected; all that it has then."""
        until = time.monotonic() + PATIENCE
        while True:
            _, text = self.run(f"cat {said}")
            if expected.search(text):
                return text
            assert time.monotonic() < until, f"it does not say {expected.pattern}, but:\n{text}"
            time.sleep(0.1)

    def interrupt(self) -> None:
        """End the commands that were started, the last one first."""
        while self._background:
            pid = self._background.pop()
            self.run(f"kill -INT -- -{pid} 2>/dev/null; tail --pid={pid} -f /dev/null")

    def _wait(self, wanted: re.Pattern[str], seconds: float, command: str) -> re.Match[str]:
        assert self._shell.stdout is not None
        until = time.monotonic() + seconds
        while not (match := wanted.match(self._read)):
            left = until - time.monotonic()
            assert left > 0, f"still running after {seconds:g} s: {command}\n{self._read}"
            if select.select([self._shell.stdout], [], [], left)[0]:
                read = os.read(self._shell.stdout.fileno(), 65536)
                assert read, f"the shell ended: {command}\n{self._read}"
                self._read += read.decode("utf-8", "replace")
        self._read = self._read[match.end() :]
        return match

    def close(self) -> None:
        """The first process of the name space goes, and with it all others."""
        self._shell.kill()
        self._shell.wait()


def _unshare() -> list[str]:
    line = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return line if os.geteuid() == 0 else [*line, "--user", "--map-root-user"]


def is_possible() -> bool:
    """Whether this machine lets us have name spaces."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*_unshare(), "true"], capture_output=True, check=False).returncode == 0


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
