# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts of their own, in one machine: namespaces for network, processes, name, mounts and clock each.

The test itself moves into a network of its own, where the proxy runs as well; the worker hosts are joined
to it by a switch whose cables can be cut (`switch.py`). A host's clock is hours off. When the processes end
nothing is left of it all.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from tests.integration.instance import Instance
from tests.waiting import wait_for

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_CUT: dict[str, float] = {"loss": 1.0}
_WHOLE: dict[str, float] = {}
PROXY, SECOND_PROXY = "10.213.0.1", "10.213.0.2"


def not_permitted() -> str:
    """Why there can be no such hosts here; empty if there can."""
    tools = [tool for tool in ("ip", "unshare") if shutil.which(tool) is None]
    if tools:
        return f"the network suite needs {' and '.join(tools)} (iproute2, util-linux)"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "the network suite needs /dev/net/tun, and the right to use it"
    tried = subprocess.run([*_UNSHARE, "true"], capture_output=True, text=True)
    return f"namespaces are not permitted here: {tried.stderr.strip()}" if tried.returncode else ""


_UNSHARE = (
    "unshare", "--net", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child", "--time",
)  # fmt: skip

# What a host does before it becomes qgsd: its name, its names of others, its device.
_BOOT = """
hostname "$1"
mount --bind "$4" /etc/hosts
until ip link set "$2" up 2>/dev/null; do sleep 0.02; done
ip addr add "$3/24" dev "$2"
ip link set lo up
shift 4
exec "$@"
"""


def _run(*line: str) -> None:
    subprocess.run(line, check=True, capture_output=True, text=True)


@contextlib.contextmanager
def own_network() -> Iterator[None]:
    """This thread, and what it starts, in a network namespace of its own."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if _libc.unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        try:
            _run("ip", "link", "set", "lo", "up")
            yield
        finally:
            if _libc.setns(before, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(before)


class Network:
    """The switch, and a port for the proxy."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder
        self.addresses = {name: f"10.213.0.{number}" for number, name in enumerate(names, 11)}
        line = [sys.executable, "-m", "tests.network.switch"]
        self.switch = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.mend("proxy")
        for address in (PROXY, SECOND_PROXY):
            _run("ip", "addr", "add", f"{address}/24", "dev", "proxy")
        _run("ip", "link", "set", "proxy", "up")

    def cable(self, name: str, to: dict[str, float], from_: dict[str, float], *, plug: bool = False) -> None:
        """How the cable of a host is from now on, in both directions; `plug`: at the device of a new one."""
        assert self.switch.stdin is not None
        assert self.switch.stdout is not None
        order = {"port": name, "to": to, "from": from_, "plug": plug}
        self.switch.stdin.write(json.dumps(order).encode() + b"\n")
        self.switch.stdin.flush()
        assert self.switch.stdout.readline() == b"done\n"

    def plug(self, name: str) -> None:
        self.cable(name, _WHOLE, _WHOLE, plug=True)

    def cut(self, name: str, *, to: bool = True, from_: bool = True) -> None:
        self.cable(name, _CUT if to else _WHOLE, _CUT if from_ else _WHOLE)

    def mend(self, name: str) -> None:
        self.cable(name, _WHOLE, _WHOLE)

    def bad(self, name: str, *, delay: float, loss: float) -> None:
        worse = {"delay": delay, "loss": loss}
        self.cable(name, worse, worse)

    def close(self) -> None:
        self.switch.communicate(timeout=10)


class Host(Instance):
    """A worker host: `qgsd worker` as the first process of a machine of its own."""

    def __init__(
        self, network: Network, name: str, arguments: Sequence[str], *, clock: int = 0, run: int = 0
    ) -> None:
        self.network, self.name, self.clock = network, name, clock
        self.names = network.folder / f"{name}.hosts"
        if not self.names.exists():
            self.knows(PROXY)
        super().__init__(network.folder / f"{name}-{run}", "worker", arguments)

    def knows(self, *proxies: str) -> None:
        """The addresses of the name `proxy`, as its resolver says from now on."""
        self.names.write_text("127.0.0.1 localhost\n" + "".join(f"{one} proxy\n" for one in proxies))

    def _spawn(self, line: list[str]) -> subprocess.Popen[bytes]:
        boot = ["sh", "-c", _BOOT, "sh", self.name, self.name, self.network.addresses[self.name]]
        self.network.plug(self.name)
        clocks = ["--monotonic", str(self.clock), "--boottime", str(self.clock)]
        process = super()._spawn([*_UNSHARE, *clocks, *boot, str(self.names), *line])
        ours = os.readlink("/proc/thread-self/ns/net")
        wait_for("its network", lambda: os.readlink(f"/proc/{process.pid}/ns/net") != ours)
        _run("ip", "link", "set", self.name, "netns", str(process.pid))
        return process

    @property
    def master(self) -> psutil.Process:
        (first,) = psutil.Process(self.pid).children()
        return first

    def signal(self, name: str) -> None:
        self.master.send_signal(getattr(signal, f"SIG{name}"))

    def die(self) -> None:
        """As by a power failure: nobody hears a word of it any more."""
        self.network.cut(self.name)
        self.process.kill()
        self.process.wait()

    def _terminate(self) -> bool:
        if self.process.poll() is None:
            with contextlib.suppress(psutil.Error, ValueError):
                self.signal("QUIT")
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False
        return self.process.returncode == 0
