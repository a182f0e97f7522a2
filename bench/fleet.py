# SPDX-License-Identifier: GPL-2.0-or-later
"""What the network between proxy and workers costs: a fleet of 3 x 2 workers against 6 of one machine.

Both run at the same time, here, and are asked in turn in several rounds; proxy and worker machines are joined
by TCP under a cluster key, as they would be elsewhere. Prints answers per second and the ratio of each round:

    python -m bench.fleet --rounds 6 --seconds 8
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from bench.__main__ import DATA, built
from bench.load import Load, Stream
from bench.servers.base import START_SECONDS, Server, ServerFailed, Setting, free_port
from bench.servers.qgsd import BIN, Qgsd
from bench.workloads import requests

MACHINES, WORKERS = 3, 2


class Fleet(Qgsd):
    """A proxy without workers, and machines of them."""

    name = "fleet"

    def launch(self) -> None:
        key, back, root = str(self.folder / "key"), free_port(), str(self.setting.root)
        subprocess.run([str(BIN / "qgsd"), "keygen", key], check=True, capture_output=True)
        quiet = ["--set", "logging.access=off", "--logging", "warning"]
        proxy = ["run", "--proxy", "--rootdir", root, "-b", "127.0.0.1", "-p", str(self.port)]
        proxy += ["--set", f"zmq.bindaddr=tcp://127.0.0.1:{back}", "--set", f"zmq.key_file={key}"]
        self.spawn([str(BIN / "qgsd"), *proxy, "--pidfile", str(self.folder / "qgsd.pid"), *quiet])
        for number in range(MACHINES):
            machine = ["worker", "--host", "127.0.0.1", "--port", str(back), "--rootdir", root]
            machine += ["--key-file", key, "-w", str(WORKERS), "--set", f"worker.name=m{number}"]
            pidfile = ["--pidfile", str(self.folder / f"m{number}.pid")]
            self.spawn([str(BIN / "qgsd"), *machine, *pidfile, *quiet])


def _wait_for_workers(server: Qgsd) -> None:
    """Until all are at the queue."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(subprocess.SubprocessError):
            if server.ctl("status")["worker_time"]["joined"] >= MACHINES * WORKERS:
                return
        time.sleep(0.2)
    raise ServerFailed(f"not within a minute: {MACHINES * WORKERS} workers of {server.name}")


def _started(stack: contextlib.ExitStack, kind: type[Qgsd], folder: Path, root: Path) -> Server:
    server = kind(folder / kind.name, Setting(root, workers=MACHINES * WORKERS))
    stack.callback(server.stop)
    server.start(requests.tile(33, 21))
    _wait_for_workers(server)
    return server


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description=__doc__, formatter_class=raw)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    root = built(DATA)
    load = Load((Stream(tuple(requests.light_tiles()), options.clients),), options.seconds)
    with tempfile.TemporaryDirectory(prefix="qgsd-bench-") as name, contextlib.ExitStack() as stack:
        servers = [_started(stack, kind, Path(name), root) for kind in (Qgsd, Fleet)]
        for server in servers:
            server.run(load)
        ratios, failed = list[float](), 0
        print("| round | local /s | fleet /s | ratio |\n|---|---|---|---|")
        for number in range(options.rounds):
            order = servers[::-1] if number % 2 else servers
            results = {server.name: server.run(load)[0] for server in order}
            local, fleet = results[Qgsd.name].rate, results[Fleet.name].rate
            ratios.append(fleet / local)
            failed += sum(result.failed for result in results.values())
            print(f"| {number} | {local:.1f} | {fleet:.1f} | {ratios[-1]:.3f} |", flush=True)
        print(f"\nmedian ratio {statistics.median(ratios):.3f}, {failed} failed")


if __name__ == "__main__":
    main()
