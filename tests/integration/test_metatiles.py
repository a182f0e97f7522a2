# SPDX-License-Identifier: GPL-2.0-or-later
"""Neighbouring tiles that wait at the same time are drawn as one, and are what each would have been."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from qgsd.control import Client
from tests.integration import tile_project
from tests.integration.instance import Answer, Instance, ows_path
from tests.integration.tile_project import EDGE, TILE, ZOOM
from tests.waiting import wait_for

PLUGINS = Path(__file__).parents[1] / "plugins"
LAYERS = "areas,lines,points"
COLUMNS, ROWS = range(16, 24), range(14, 16)
PLACES = [(column, row) for row in ROWS for column in COLUMNS]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    tile_project.make(folder, "tiles", "single")
    return folder


@contextmanager
def serving(folder: Path, root: Path, *plugins: str) -> Iterator[Instance]:
    """One worker, so that what waits for it waits together."""
    (folder / "plugins").mkdir()
    for plugin in ("probe", *plugins):
        (folder / "plugins" / plugin).symlink_to(PLUGINS / plugin)
    config = f"[server]\npluginpath={folder / 'plugins'}\n[metatiles]\ntil*=8\n"
    arguments = ("--rootdir", str(root), "-w", "1")
    instance = Instance(folder / "i", "run", arguments, config=config)
    with instance:
        yield instance


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Instance]:
    with serving(tmp_path_factory.mktemp("q"), root) as instance:
        yield instance


class Crowd:
    """These are asked for at once, while the only worker has something else to do."""

    def __init__(self, instance: Instance, paths: list[str]) -> None:
        self._instance = instance
        self._client = Client(instance.control)
        self._answers: dict[str, Answer] = {}
        self._before = drawn(instance)
        self._threads = [threading.Thread(target=self._ask, args=(path,), daemon=True) for path in paths]
        pause = ows_path("tiles", SERVICE="PROBE", REQUEST="sleep", VALUE="0.6")
        self._pause = threading.Thread(target=instance.get, args=(pause,), daemon=True)
        self._pause.start()
        wait_for("the worker is busy", lambda: self._status["workers"]["busy"] == 1)
        for thread in self._threads:
            thread.start()
        wait_for("all wait", lambda: self.waiting == len(paths))

    def _ask(self, path: str) -> None:
        self._answers[path] = self._instance.get(path)

    @property
    def waiting(self) -> int:
        return int(self._status["queue"]["waiting"])

    @property
    def _status(self) -> Any:
        return self._client.call("status")

    def wait(self) -> dict[str, Answer]:
        for thread in (*self._threads, self._pause):
            thread.join(60)
            assert not thread.is_alive()
        self._client.close()
        return self._answers

    @property
    def drawn(self) -> int:
        """How often a worker had something to draw for them."""
        return drawn(self._instance) - self._before - 1


def drawn(instance: Instance) -> int:
    return sum(row["requests"] for row in instance.workers())


def tiles_cut(instance: Instance) -> int:
    return int(instance.ctl_json("status")["counters"]["tiles_cut"])


def wms(column: int, row: int, project: str = "tiles", **other: str) -> str:
    west, north = column * TILE - EDGE, EDGE - row * TILE
    return get_map(project, (west, north - TILE, west + TILE, north), **{"CRS": "EPSG:3857"} | other)


def wmts(column: int, row: int, **other: str) -> str:
    asked = {
        "SERVICE": "WMTS", "VERSION": "1.0.0", "REQUEST": "GetTile", "LAYER": "areas", "STYLE": "",
        "TILEMATRIXSET": "EPSG:3857", "TILEMATRIX": str(ZOOM), "TILEROW": str(row), "TILECOL": str(column),
        "FORMAT": "image/png",
    }  # fmt: skip
    return ows_path("tiles", **asked | other)


def degrees(column: int, row: int, *, flipped: bool, **other: str) -> str:
    """A tile of ten degrees; `flipped`: latitudes first."""
    west, south = 10 * (column - 16), 10 * (15 - row)
    box = (south, west, south + 10, west + 10) if flipped else (west, south, west + 10, south + 10)
    return get_map("tiles", box, **other)


def get_map(project: str, box: tuple[float, ...], **other: str) -> str:
    asked = {
        "SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetMap", "LAYERS": LAYERS, "STYLES": "",
        "BBOX": ",".join(map(repr, box)), "WIDTH": "256", "HEIGHT": "256", "FORMAT": "image/png",
    }  # fmt: skip
    return ows_path(project, **asked | other)


def bodies(answers: dict[str, Answer]) -> dict[str, bytes]:
    assert {answer.status for answer in answers.values()} == {200}, [a.text for a in answers.values()]
    return {path: answer.body for path, answer in answers.items()}


def one_by_one(instance: Instance, paths: list[str]) -> dict[str, bytes]:
    return bodies({path: instance.get(path) for path in paths})


def kinds() -> list[tuple[str, list[str], int]]:
    """Requests, and how many pictures are drawn for them."""
    return [
        ("mercator", [wms(*place) for place in PLACES], 2),
        ("transparent", [wms(*place, TRANSPARENT="TRUE", TILED="true", DPI="192") for place in PLACES], 2),
        ("latitudes first", [degrees(*place, flipped=True, CRS="EPSG:4326") for place in PLACES], 2),
        ("1.1.1", [degrees(*place, flipped=False, SRS="EPSG:4326", VERSION="1.1.1") for place in PLACES], 2),
        ("wmts", [wmts(*place) for place in PLACES], 2),
        ("not by the operator's wish", [wms(*place, project="single") for place in PLACES[:8]], 8),
        ("with a gap", [wms(column, 14) for column in (16, 17, 19, 20)], 2),
        ("8 bit", [wms(*place, FORMAT="image/png; mode=8bit") for place in PLACES[:4]], 4),
    ]  # fmt: skip


@pytest.mark.parametrize(("paths", "pictures"), [kind[1:] for kind in kinds()], ids=[k[0] for k in kinds()])
def test_tiles_are_the_same_however_many_are_drawn_at_once(
    server: Instance, paths: list[str], pictures: int
) -> None:
    alone = one_by_one(server, paths)
    assert len(set(alone.values())) > len(paths) / 2, "they show nothing"
    cut = tiles_cut(server)
    crowd = Crowd(server, paths)
    answers = crowd.wait()
    assert bodies(answers) == alone
    assert crowd.drawn == pictures
    assert tiles_cut(server) - cut == len(paths) - pictures
    together = [answer for answer in answers.values() if "tiles;desc" in answer.headers["Server-Timing"]]
    assert len(together) == (len(paths) if pictures < len(paths) else 0)
    assert len({answer.headers["X-Request-Id"] for answer in answers.values()}) == len(paths)


def test_each_has_its_line_in_the_access_log(server: Instance) -> None:

    def lines() -> int:
        told = "request=GetMap worker=0"
        return sum("cache=metatile" in line and told in line for line in server.log_text.splitlines())

    before = lines()
    Crowd(server, [wms(column, 17) for column in COLUMNS]).wait()
    wait_for("a line for each", lambda: lines() - before == len(COLUMNS))


def test_what_qgis_refuses_it_refuses_to_each(server: Instance) -> None:
    paths = [wms(column, 14, LAYERS="nothing") for column in COLUMNS]
    alone = {path: server.get(path) for path in paths}
    answers = Crowd(server, paths).wait()
    assert {a.status for a in answers.values()} == {a.status for a in alone.values()} == {400}
    assert {path: a.body for path, a in answers.items()} == {path: a.body for path, a in alone.items()}


def test_a_layer_that_is_no_tile_layer_is_none_in_a_metatile(server: Instance) -> None:
    paths = [wmts(column, 14, LAYER="nothing") for column in COLUMNS[:3]]
    paths += [wmts(column, 14, TILEMATRIX="4") for column in (15, 16)]
    alone = {path: server.get(path).status for path in paths}
    assert alone[paths[0]] == alone[paths[-1]] == 400
    answers = Crowd(server, paths).wait()
    assert {path: answer.status for path, answer in answers.items()} == alone


def test_a_client_that_goes_leaves_the_others_theirs(server: Instance) -> None:
    paths = [wms(column, 15) for column in COLUMNS]
    alone = one_by_one(server, paths)
    with socket.create_connection(("127.0.0.1", server.port)) as leaving:
        crowd = Crowd(server, paths[1:])
        head = f"Host: 127.0.0.1:{server.port}\r\nAccept-Encoding: identity"
        leaving.sendall(f"GET {paths[0]} HTTP/1.1\r\n{head}\r\n\r\n".encode())
        wait_for("it waits too", lambda: crowd.waiting == len(paths))
    assert bodies(crowd.wait()) == {path: alone[path] for path in paths[1:]}


def test_nobody_fails_when_the_worker_is_killed(server: Instance) -> None:
    paths = [wms(column, 14, WIDTH="1000", HEIGHT="1000") for column in COLUMNS]
    retries = server.ctl_json("status")["counters"]["retries"]
    crowd = Crowd(server, paths)
    wait_for("it draws them", lambda: crowd.waiting == 0)
    with Client(server.control) as client:
        (busy,) = [row for row in client.call("ps") if row["role"] == "worker" and row["state"] == "busy"]
        client.call("kill", target=busy["pid"])
    answers = crowd.wait()
    assert server.ctl_json("status")["counters"]["retries"] - retries == len(paths)
    assert bodies(answers) == one_by_one(server, paths)
    assert not any("tiles;desc" in answer.headers["Server-Timing"] for answer in answers.values())


def test_a_plugin_that_may_look_at_the_place_turns_it_off(tmp_path: Path, root: Path) -> None:
    paths = [wms(column, 14) for column in COLUMNS]
    with serving(tmp_path, root, "gatekeeper") as instance:
        alone = one_by_one(instance, paths)
        crowd = Crowd(instance, paths)
        assert bodies(crowd.wait()) == alone
        assert crowd.drawn == len(paths)
