# SPDX-License-Identifier: GPL-2.0-or-later
"""Which maps are neighbours, how many are drawn at once, and where each lies in the picture."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qgsd.config import RequestsSettings
from qgsd.messages import Tile
from qgsd.proxy import ows
from qgsd.proxy.http.tiles import tile_of
from qgsd.proxy.metatiles import most_at_once, neighbours
from qgsd.worker.row import Row
from qgsd.worker.wmts import as_map

EDGE = 20037508.342789244
ASKED = {
    "SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetMap", "LAYERS": "a b,ü", "STYLES": "",
    "CRS": "EPSG:3857", "WIDTH": "256", "HEIGHT": "200", "FORMAT": "image/png",
}  # fmt: skip
LIMITS = RequestsSettings()


def query(box: tuple[float, ...], **other: str) -> str:
    return urlencode({"MAP": "m", **ASKED, "BBOX": ",".join(map(repr, box)), **other})


def read(text: str, most: int = 8, told: bytes = b"", limits: RequestsSettings = LIMITS) -> Tile | None:
    return tile_of(ows.read("GET", text, "", b""), "http://h/ows/", "m", told, most, limits)


def web(zoom: int, column: int, row: int) -> tuple[float, float, float, float]:
    """As a page with a map asks for it."""
    size = 2 * EDGE / 2**zoom
    return column * size - EDGE, EDGE - (row + 1) * size, (column + 1) * size - EDGE, EDGE - row * size


@given(
    zoom=st.integers(2, 22),
    data=st.data(),
    most=st.integers(1, 9),
)
def test_neighbours_are_found_at_any_scale(zoom: int, data: st.DataObject, most: int) -> None:
    first, row = (data.draw(st.integers(0, 2**zoom - 1)) for _ in range(2))
    near = st.integers(max(0, first - 9), min(2**zoom - 1, first + 9))
    columns = data.draw(st.sets(near)) - {first}
    mine = read(query(web(zoom, first, row)))
    assert mine is not None
    others = {str(column): read(query(web(zoom, column, row))) for column in columns}
    assert {other.row for other in others.values() if other} <= {mine.row}
    found = neighbours(mine, [(id, other) for id, other in others.items() if other], most)
    picture = {first, *map(int, found)}
    assert len(picture) == 1 + len(found) <= most
    assert max(picture) - min(picture) == len(found), "it has a gap"
    assert picture <= columns | {first}
    wider = {min(picture) - 1, max(picture) + 1} & columns
    assert len(picture) == most or not wider, "one more would have fitted"


@given(st.integers(0, 300), st.integers(0, 50), st.floats(0, 100), st.floats(-1, 100))
def test_a_metatile_is_bounded(waiting: int, workers: int, seconds: float, left: float) -> None:
    most = most_at_once(Tile("r", 0.0, 1.0, 8), waiting, workers, seconds, left)
    assert 1 <= most <= 8
    assert most == 1 or most * seconds <= left / 4
    assert most == 1 or (most - 1) * workers < waiting, "another worker has nothing to do"


def test_one_beside_is_no_neighbour_if_it_is_asked_for_otherwise() -> None:
    here = read(query(web(5, 16, 14)))
    assert here is not None
    beside = web(5, 17, 14)
    same = read(query(beside))
    assert same is not None
    assert same.row == here.row
    for other in (
        {"LAYERS": "b"}, {"STYLES": "x"}, {"WIDTH": "255"}, {"TRANSPARENT": "TRUE"}, {"DPI": "192"},
        {"TILED": "true"}, {"CRS": "EPSG:3395"}, {"MAP": "n"}, {"FILTER": "a:1"},
    ):  # fmt: skip
        tile = read(query(beside, **other))
        assert tile is not None
        assert tile.row != here.row, other
    strangers = read(query(beside), told=b"another user")
    below = read(query(web(5, 17, 15)))
    assert strangers is not None
    assert below is not None
    assert here.row not in (strangers.row, below.row)


def test_tiles_of_wmts_lie_in_columns() -> None:
    def tile(column: str, **other: str) -> Tile | None:
        asked = {
            "SERVICE": "WMTS", "REQUEST": "GetTile", "LAYER": "a", "TILEMATRIXSET": "EPSG:3857",
            "TILEMATRIX": "5", "TILEROW": "14", "TILECOL": column, "FORMAT": "image/png",
        }  # fmt: skip
        return read(urlencode(asked | other))

    here, beside, below = tile("7"), tile("8"), tile("8", TILEROW="15")
    assert here is not None
    assert beside is not None
    assert below is not None
    assert neighbours(here, [("8", beside)], 8) == ["8"]
    assert here.row == beside.row != below.row
    assert tile("x") is tile("-1") is tile("8", TILEMATRIXSET="EPSG:4326") is None


@given(zoom=st.integers(0, 20), data=st.data())
def test_tiles_of_wmts_are_those_of_the_web(zoom: int, data: st.DataObject) -> None:
    column, row = (data.draw(st.integers(0, 2**zoom - 1)) for _ in range(2))
    url = f"http://h/?TILEMATRIXSET=EPSG:3857&TILEMATRIX={zoom}&TILECOL={column}&TILEROW={row}"
    asked = as_map(url)
    assert asked is not None
    box = dict(parse_qsl(asked.partition("?")[2]))["BBOX"]
    assert list(map(float, box.split(","))) == pytest.approx(web(zoom, column, row), abs=0.01)


_ANYWHERE = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, 1e-300, 1e300, -1e308])


@given(
    places=st.tuples(_ANYWHERE, _ANYWHERE),
    sizes=st.tuples(*[st.sampled_from([1e-320, 1e-9, 1.0, 1e300])] * 2),
)
def test_no_place_is_too_far_for_a_decision(places: tuple[float, float], sizes: tuple[float, float]) -> None:
    """What a client writes there once ended the dispatcher: quotients became infinite."""
    boxes = [(place, 0.0, place + size, 1.0) for place, size in zip(places, sizes, strict=True)]
    mine, beside = (read(query(box)) for box in boxes)
    if mine and beside:
        assert mine.row == beside.row
        assert neighbours(mine, [("beside", beside)], 8) in ([], ["beside"])


def test_small_or_shifted_ones_do_not_fit() -> None:
    tile = Tile("r", 0.0, 10.0, 8)
    shifted = [("half", Tile("r", 15.0, 10.0, 8)), ("nearly", Tile("r", 10.001, 10.0, 8))]
    assert neighbours(tile, [*shifted, ("small", Tile("r", 10.0, 9.0, 8)), ("same", tile)], 8) == []


@pytest.mark.parametrize(
    "other",
    [
        {"REQUEST": "GetFeatureInfo"}, {"SERVICE": "WFS"}, {"VERSION": "1.0.0"}, {"FORMAT": "image/jpeg"},
        {"FORMAT": "image/png; mode=8bit"}, {"BBOX": "1,2,3"}, {"BBOX": "1,2,3,x"}, {"BBOX": "1,2,0,9"},
        {"BBOX": "1,2,nan,9"}, {"BBOX": "1,2,inf,9"}, {"WIDTH": "0"}, {"WIDTH": "²"}, {"WIDTH": "5000"},
        {"width": "256"},
    ],
)  # fmt: skip
def test_what_is_drawn_by_itself(other: dict[str, str]) -> None:
    assert read(query(web(5, 16, 14), **other)) is None


def test_the_operators_bounds_hold_for_the_whole_picture() -> None:
    box = web(5, 16, 14)
    for limits, most in (
        (RequestsSettings(max_width=1000), 3),
        (RequestsSettings(max_pixels=256 * 200 * 2), 2),
        (RequestsSettings(max_width=0, max_height=0, max_pixels=0), 8),
    ):
        tile = read(query(box), limits=limits)
        assert tile is not None
        assert tile.most == most
    assert read(query(box), limits=RequestsSettings(max_width=400)) is None


@given(st.permutations(range(5)), st.booleans(), st.booleans())
def test_a_picture_has_all_of_them_in_their_places(order: list[int], flipped: bool, upright: bool) -> None:
    urls = []
    for place in order:
        box = (place * 10, 3, place * 10 + 10, 13) if not flipped else (3, place * 10, 13, place * 10 + 10)
        urls.append(f"http://h/ows/?{query(box)}")
    row = Row.of(urls)
    asked = dict(parse_qsl(row.url(upright=upright).partition("?")[2]))
    assert asked["BBOX"] == ("3,0,13,50" if flipped else "0,3,50,13")
    assert (int(asked["WIDTH"]), int(asked["HEIGHT"])) == ((256, 1000) if upright else (1280, 200))
    unchanged = {name: value for name, value in ASKED.items() if name not in ("WIDTH", "HEIGHT") and value}
    assert unchanged.items() <= asked.items()
    for place, corner in zip(order, row.corners(upright=upright), strict=True):
        assert corner == ((0, 200 * (4 - place)) if upright else (256 * place, 0))
