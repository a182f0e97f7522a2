# SPDX-License-Identifier: GPL-2.0-or-later
"""Record what requests really take: `python -m bench.simulation.record` writes `seconds.json` here.

The bundled example is served by one worker, copies of it are loaded one after the other, and the times are
those that the server tells (Server-Timing). So there is no client, queue or network in them.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import tempfile
from pathlib import Path

from bench.load import Request, ows
from bench.servers.base import Setting
from bench.servers.qgsd import Qgsd

HERE = Path(__file__).parent
WORLD = HERE.parents[1] / "examples" / "world"
_COPIES = 20
_EACH = 200
_EDGE = 20037508.0


def _map(project: str, draw: random.Random, edge: float, width: int, height: int) -> Request:
    x, y = draw.uniform(-0.9, 0.6) * _EDGE, draw.uniform(-0.5, 0.5) * _EDGE
    box = (x, y, x + edge * width / height, y + edge)
    return Request(ows(
        project, SERVICE="WMS", VERSION="1.3.0", REQUEST="GetMap", LAYERS="countries", STYLES="",
        CRS="EPSG:3857", BBOX=",".join(f"{number:.0f}" for number in box), WIDTH=width, HEIGHT=height,
        FORMAT="image/png",
    ))  # fmt: skip


def _timing(server: Qgsd, request: Request) -> tuple[float, float]:
    """Seconds of loading and of rendering, as the server tells them."""
    status, headers, _ = server.fetch(request)
    assert status == 200, f"{request.path}: {status}"
    told = dict(re.findall(r"(\w+);dur=([\d.]+)", headers["server-timing"]))
    return float(told["load"]) / 1000, float(told["render"]) / 1000


def record(folder: Path) -> dict[str, list[float]]:
    """Seconds of loads, of the first rendering after one, and of tiles, maps and documents later."""
    root = folder / "projects"
    shutil.copytree(WORLD, root, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for number in range(_COPIES):
        shutil.copy(root / "world.qgs", root / f"p{number}.qgs")
    server, draw = Qgsd(folder / "server", Setting(root, workers=1, cache=2 * _COPIES)), random.Random(1)
    document = ows("world", SERVICE="WMS", REQUEST="GetCapabilities")
    try:
        server.start(Request(document))
        first = [_timing(server, _map(f"p{number}", draw, 5e6, 256, 256)) for number in range(_COPIES)]
        kinds = {
            "tile": [_map("world", draw, 2e6, 256, 256) for _ in range(_EACH)],
            "map": [_map("world", draw, 1.5e7, 2400, 1600) for _ in range(_EACH // 4)],
            "document": [Request(f"{document}&N={number}") for number in range(_EACH // 4)],
        }
        seen = {kind: [_timing(server, one)[1] for one in asked] for kind, asked in kinds.items()}
    finally:
        server.stop()
    seconds = {"load": [load for load, _ in first], "first": [render for _, render in first], **seen}
    return {kind: sorted(round(max(one, 0.0001), 5) for one in values) for kind, values in seconds.items()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        target = HERE / "seconds.json"
        target.write_text(json.dumps(record(Path(made))) + "\n")
        print(f"written: {target}")
