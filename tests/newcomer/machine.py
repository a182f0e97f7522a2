# SPDX-License-Identifier: GPL-2.0-or-later
"""A fresh Debian to be used up: a root that stays as it is, below a layer that takes what is written."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

# Of the environment only how the outside is reached, as scripts/test-debian.
_KEPT = re.compile(r"[a-z]+_proxy|PIP_\w+|\w*(CERT|CA_BUNDLE|CA_CERTS)\w*", re.IGNORECASE)
_ENTER = """
root=$1 layer=$2 source=$3 command=$4; shift 4
mount -t overlay overlay -o "lowerdir=$root,upperdir=$layer/upper,workdir=$layer/work" "$layer/machine"
cd "$layer/machine"
mount --rbind /sys sys
mount --rbind /dev dev
mount -t proc proc proc
for folder in dev/shm tmp run; do mount -t tmpfs tmpfs $folder; done
chmod 1777 tmp dev/shm
touch tmp/qgsd.bundle
mount --bind "$source" tmp/qgsd.bundle
# As a child: the first process of a name space hears no signal that it has no handler for.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
chroot . /usr/bin/env -i HOME=/root LANG=C.UTF-8 PATH=$PATH \
    "$@" bash -euc "$command" || exit $?
"""


class Machine:
    """A context: what was written goes with it. `source`: what `/tmp/qgsd.bundle` is in it."""

    def __init__(self, root: Path, source: Path) -> None:
        self._root, self._source = root.resolve(), source.resolve()
        self._layer = tempfile.TemporaryDirectory(prefix="newcomer-", dir=self._root.parent)
        for folder in ("upper", "work", "machine"):
            Path(self._layer.name, folder).mkdir()

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._layer.cleanup()

    def run(self, command: str) -> Running:
        """Begin a command of bash's as root in it, with its home as folder."""
        kept = [f"{name}={value}" for name, value in os.environ.items() if _KEPT.fullmatch(name)]
        places = [str(self._root), self._layer.name, str(self._source)]
        line = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-euc", _ENTER, "bash"]
        return Running([*line, *places, f"cd; {command}", *kept])


class Running:
    """A command with what it says. A context: at its end it is interrupted as by Ctrl-C, and waited for."""

    def __init__(self, line: list[str]) -> None:
        self._process = subprocess.Popen(
            line, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    def lines(self) -> Iterator[str]:
        """Line by line, as they come, until it ends."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            yield line.rstrip()

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.killpg(self._process.pid, signal.SIGINT)
        try:
            self._process.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
