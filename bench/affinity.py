# SPDX-License-Identifier: GPL-2.0-or-later
"""Many projects, few workers: how often does a request find its project open, and what do the slow ones wait?

Serves copies of the bundled example, asked for with Zipf-distributed popularity by clients in a closed loop,
and prints answers per second, median and 99th percentile, and the share of requests that found their project
open. With --rival COMMAND the same load runs against py-qgis-server (its `qgisserver`), in turn:

    python bench/affinity.py --projects 200 --workers 4 --cache 50 --rival VENV/bin/qgisserver
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

WORLD = Path(__file__).parents[1] / "examples" / "world"
BIN = Path(sys.executable).parent


@dataclass
class Result:
    """Seconds of each answer; `hits` is the share of requests that found their project open, if known."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0
    hits: float | None = None
    took: float = 0.0

    def figures(self) -> list[float]:
        """Answers per second, median and 99th percentile in milliseconds, percent found open, failed."""
        cuts = statistics.quantiles(self.seconds, n=100)
        hits = float("nan") if self.hits is None else 100 * self.hits
        return [len(self.seconds) / self.took, 1000 * cuts[49], 1000 * cuts[98], hits, self.failed]


def row(name: str, figures: list[float]) -> str:
    speed, median, slow, hits, failed = figures
    return f"| {name} | {speed:.1f} | {median:.0f} | {slow:.0f} | {hits:.1f} % | {failed:.0f} |"


def medians(results: list[Result]) -> list[float]:
    return [statistics.median(column) for column in zip(*(one.figures() for one in results), strict=True)]


def build(root: Path, projects: int) -> list[str]:
    """Copies of the example, each with data of its own name, so that nothing is shared but the disk."""
    names = []
    data = [path for path in WORLD.iterdir() if path.suffix in (".gpkg", ".tif")]
    text = (WORLD / "world.qgs").read_text()
    for path in data:
        shutil.copy(path, root / path.name)
    for number in range(projects):
        name = f"p{number:04}"
        (root / f"{name}.qgs").write_text(text)
        names.append(name)
    return names


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def running(line: list[str], port: int, log: Path) -> Iterator[None]:
    with log.open("wb") as sink:
        process = subprocess.Popen(line, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        wait_until_it_answers(process, port, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()


def wait_until_it_answers(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if process.poll() is not None:
            raise SystemExit(f"it ended at once:\n{log.read_text()[-2000:]}")
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/ping")
            connection.getresponse().read()
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"it does not answer:\n{log.read_text()[-2000:]}")


def target(name: str, draw: random.Random) -> str:
    x, y = draw.randrange(-15, 15) * 1e6, draw.randrange(-6, 7) * 1e6
    return "/ows/?" + urlencode({
        "MAP": name, "SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetMap", "LAYERS": "countries",
        "STYLES": "", "CRS": "EPSG:3857", "BBOX": f"{x},{y},{x + 2e6},{y + 2e6}", "WIDTH": "256",
        "HEIGHT": "256", "FORMAT": "image/png",
    })  # fmt: skip


def load(port: int, names: list[str], clients: int, seconds: float, seed: int) -> Result:
    weights = [1 / (rank + 1) for rank in range(len(names))]
    result, lock, until = Result(), threading.Lock(), time.monotonic() + seconds

    def ask(number: int) -> None:
        draw = random.Random(seed * 1000 + number)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while time.monotonic() < until:
            (name,) = draw.choices(names, weights)
            began = time.monotonic()
            try:
                connection.request("GET", target(name, draw))
                answer = connection.getresponse()
                body = answer.read()
                good = answer.status == 200 and body.startswith(b"\x89PNG")
                if not good and not result.failed:
                    print(f"{answer.status}: {body[:300]!r}", file=sys.stderr)
            except (OSError, http.client.HTTPException):
                good = False
                connection.close()
            with lock:
                result.seconds.append(time.monotonic() - began)
                result.failed += not good

    began = time.monotonic()
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result.took = time.monotonic() - began
    return result


def counts(control: str) -> tuple[int, int]:
    line = [str(BIN / "qgsdctl"), "--control", control, "--json", "projects"]
    rows = json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout)
    return sum(row["requests"] for row in rows), sum(row["hits"] for row in rows)


def run_qgsd(folder: Path, names: list[str], options: argparse.Namespace, seed: int) -> Result:
    port, pidfile = free_port(), folder / "qgsd.pid"
    line = [
        str(BIN / "qgsd"), "run", "--rootdir", str(folder / "root"), "-p", str(port),
        "-w", str(options.workers), "--pidfile", str(pidfile), "--timeout", "60",
        "--set", f"cache.size={options.cache}", "--set", "logging.access=off",
    ]  # fmt: skip
    control = f"ipc://{folder / 'qgsd.run' / 'control'}"
    with running(line, port, folder / "qgsd.log"):
        load(port, names, options.clients, options.warm_up, seed)
        before = counts(control)
        result = load(port, names, options.clients, options.seconds, seed + 1)
        after = counts(control)
    result.hits = (after[1] - before[1]) / max(1, after[0] - before[0])
    return result


def run_rival(folder: Path, names: list[str], options: argparse.Namespace, seed: int) -> Result:
    port = free_port()
    config = folder / "rival.ini"
    config.write_text(
        f"[server]\nport={port}\nworkers={options.workers}\ntimeout=60\n[logging]\nlevel=ERROR\n"
        f"[projects.cache]\nsize={options.cache}\nrootdir={folder / 'root'}\nstrict_check=no\n"
    )
    with running([options.rival, "-c", str(config)], port, folder / "rival.log"):
        load(port, names, options.clients, options.warm_up, seed)
        return load(port, names, options.clients, options.seconds, seed + 1)


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--projects", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--cache", type=int, default=50)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--warm-up", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--rival", help="path of py-qgis-server's qgisserver, in an environment of its own")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "root").mkdir()
        names = build(folder / "root", options.projects)
        print("| server | answers/s | p50 ms | p99 ms | found open | failed |\n|---|---|---|---|---|---|")
        sides = {"qgsd": run_qgsd} | ({"py-qgis-server": run_rival} if options.rival else {})
        results: dict[str, list[Result]] = {side: [] for side in sides}
        for seed in range(options.rounds):
            for side, run in sides.items():
                results[side].append(run(folder, names, options, seed))
                print(row(side, results[side][-1].figures()), flush=True)
        found = {side: medians(some) for side, some in results.items()}
        for side, figures in found.items():
            print(row(f"{side}, median", figures))
        if options.rival:
            print(f"\np99 against py-qgis-server's: {found['qgsd'][2] / found['py-qgis-server'][2]:.2f}")


if __name__ == "__main__":
    main()
