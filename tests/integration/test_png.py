# SPDX-License-Identifier: GPL-2.0-or-later
"""`png=compact`: the same pixels as QGIS's own pictures, in fewer bytes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from qgsd import png
from qgsd.preload import Wanted, variables
from tests.integration.instance import GET_MAP, Instance

SCRIPT = Path(__file__).with_name("write_pictures.py")
Launch = Callable[..., Instance]

pytestmark = pytest.mark.skipif(not png.find(), reason="there was no C compiler when qgsd was installed")


def pixels(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as picture:
        return repr((picture.mode, picture.size, picture.getpalette())).encode() + picture.tobytes()


def written(folder: Path, choice: str) -> dict[str, bytes]:
    folder.mkdir()
    environ = os.environ | variables(Wanted("system", choice), {})
    subprocess.run([sys.executable, SCRIPT, folder], env=environ, check=True, timeout=100)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_pictures_of_every_kind_keep_their_pixels(tmp_path: Path) -> None:
    usual, compact = written(tmp_path / "usual", "qgis"), written(tmp_path / "compact", "compact")
    assert usual.keys() == compact.keys()
    assert len(usual) > 90
    for name, data in usual.items():
        assert pixels(compact[name]) == pixels(data), name
    changed = {name for name, data in usual.items() if compact[name] != data}
    assert all(name.startswith(("flat", "large")) for name in changed), "photographs are QGIS's to the byte"
    for kind in ("opaque", "transparent", "premultiplied", "packed", "rgba"):
        name = f"flat-256x256-{kind}.png"
        assert len(compact[name]) < 0.95 * len(usual[name]), name
    assert len(compact["large.png"]) < len(usual["large.png"])


def test_maps_and_legends_are_smaller_and_look_the_same(launch: Launch, projects: Path) -> None:
    legend = {"SERVICE": "WMS", "REQUEST": "GetLegendGraphic", "LAYERS": "countries", "FORMAT": "image/png"}
    asked = [
        GET_MAP,
        GET_MAP | {"TRANSPARENT": "TRUE"},
        GET_MAP | {"FORMAT": "image/png; mode=8bit"},
        legend,
        legend | {"TRANSPARENT": "TRUE"},
    ]
    answers = {}
    for choice in ("qgis", "compact"):
        # QGIS's palettes of 8 bits depend on the order of Qt's hashes.
        settings = ("--rootdir", str(projects), "-w", "1", "--set", f"server.png={choice}")
        instance = launch(*settings, env={"QT_HASH_SEED": "0"})
        told = [instance.ows(**one) for one in asked]
        assert {one.status for one in told} == {200}
        answers[choice] = [one.body for one in told]
    for usual, compact in zip(answers["qgis"], answers["compact"], strict=True):
        assert pixels(compact) == pixels(usual)
        assert len(compact) <= len(usual)
    assert len(answers["compact"][0]) < len(answers["qgis"][0])
    assert len(answers["compact"][1]) < len(answers["qgis"][1])
