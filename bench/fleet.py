# SPDX-License-Identifier: GPL-2.0-or-later
"""What the network between proxy and workers costs: a fleet of 3 x 2 workers against 6 of one machine.

Both run at the same time, here, and are asked in turn in several rounds; proxy and worker machines are joined
by TCP under a cluster key, as they would be elsewhere. Prints answers per second and the ratio of each round:

    python -m bench.fleet --rounds 6 --seconds 8
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from bench.affinity import BIN, Result, build, free_port, load, running

MACHINES, WORKERS = 3, 2


def wait_for_workers(control: str, number: int) -> None:
    """Until so many are at the queue."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        line = [str(BIN / "qgsdctl"), "--control", control, "--json", "status"]
        told = subprocess.run(line, capture_output=True, text=True)
        if told.returncode == 0 and json.loads(told.stdout)["worker_time"]["joined"] >= number:
            return
        time.sleep(0.2)
    raise SystemExit(f"not within a minute: {number} workers")


def started(stack: contextlib.ExitStack, folder: Path, name: str, arguments: list[str], port: int) -> str:
    """Start it; the address of its control socket."""
    pidfile = folder / f"{name}.pid"
    line = [str(BIN / "qgsd"), *arguments, "--pidfile", str(pidfile), "--set", "logging.access=off"]
    if arguments[0] == "run":
        line += ["-p", str(port)]
    stack.enter_context(running(line, port, folder / f"{name}.log"))
    return f"ipc://{folder / f'{name}.run' / 'control'}"


def start_all(stack: contextlib.ExitStack, folder: Path) -> dict[str, int]:
    """The ports of both sides, all workers at their queues."""
    root, key, back = str(folder / "root"), str(folder / "key"), free_port()
    subprocess.run([str(BIN / "qgsd"), "keygen", key], check=True, capture_output=True)
    ports = {"local": free_port(), "fleet": free_port()}
    local = ["run", "--rootdir", root, "-w", str(MACHINES * WORKERS)]
    proxy = ["run", "--proxy", "--rootdir", root]
    proxy += ["--set", f"zmq.bindaddr=tcp://127.0.0.1:{back}", "--set", f"zmq.key_file={key}"]
    controls = [started(stack, folder, "local", local, ports["local"])]
    controls.append(started(stack, folder, "proxy", proxy, ports["fleet"]))
    for number in range(MACHINES):
        machine = ["worker", "--host", "127.0.0.1", "--port", str(back), "--rootdir", root, "--key-file", key]
        machine += ["-w", str(WORKERS), "--set", f"worker.name=m{number}"]
        started(stack, folder, f"m{number}", machine, ports["fleet"])
    for control in controls:
        wait_for_workers(control, MACHINES * WORKERS)
    return ports


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        (folder / "root").mkdir()
        names = build(folder / "root", 1)
        ports = start_all(stack, folder)
        for port in ports.values():
            load(port, names, options.clients, options.seconds, seed=0)
        rounds: list[dict[str, Result]] = []
        print("| round | local /s | fleet /s | ratio |\n|---|---|---|---|")
        for number in range(options.rounds):
            order = sorted(ports, reverse=bool(number % 2))
            result = {
                side: load(ports[side], names, options.clients, options.seconds, number) for side in order
            }
            rounds.append(result)
            speeds = {side: len(one.seconds) / one.took for side, one in result.items()}
            ratio = speeds["fleet"] / speeds["local"]
            print(f"| {number} | {speeds['local']:.1f} | {speeds['fleet']:.1f} | {ratio:.3f} |", flush=True)
        failed = sum(one.failed for result in rounds for one in result.values())
        ratios = [
            (len(one["fleet"].seconds) / one["fleet"].took) / (len(one["local"].seconds) / one["local"].took)
            for one in rounds
        ]
        print(f"\nmedian ratio {statistics.median(ratios):.3f}, {failed} failed")


if __name__ == "__main__":
    main()
