# SPDX-License-Identifier: GPL-2.0-or-later
"""Workers that get at their own files only: QGIS works, and what lies elsewhere is out of reach."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from qgsd import landlock
from tests.integration.instance import GET_MAP, Instance
from tests.integration.write_project import write

pytestmark = pytest.mark.skipif(not landlock.knows_ports(), reason="this kernel's Landlock is too old")


@pytest.fixture(scope="module")
def confined(tmp_path_factory: pytest.TempPathFactory, shared_root: Path) -> Iterator[Instance]:
    top = tmp_path_factory.mktemp("confined")
    shutil.copytree(shared_root, top / "maps")
    for name in ("shown", "hidden"):
        (top / name).mkdir()
        shutil.copy(shared_root / "world.gpkg", top / name / "data.gpkg")
        layer = ["places", f"{top / name / 'data.gpkg'}|layername=places", "ogr"]
        write(
            {"uri": str(top / "maps" / f"{name}.qgs"), "title": name, "layers": [layer], "layouts": ["Sheet"]}
        )
    options = ("confine.files=yes", f"confine.read={top / 'shown'}", "confine.ports=5432")
    words = [word for option in options for word in ("--set", option)]
    instance = Instance(top / "i", "run", ("--rootdir", str(top / "maps"), "-w", "1", *words))
    with instance:
        yield instance


def test_qgis_works(confined: Instance) -> None:
    answer = confined.ows(**GET_MAP)
    assert (answer.status, len(answer.body) > 2000) == (200, True), answer.text[:300]
    sheet = {
        "SERVICE": "WMS",
        "VERSION": "1.3.0",
        "REQUEST": "GetPrint",
        "TEMPLATE": "Sheet",
        "FORMAT": "pdf",
    }
    answer = confined.ows("shown", **sheet, CRS="EPSG:4326")
    assert answer.body.startswith(b"%PDF"), answer.text[:300]
    features = confined.ows("shown", SERVICE="WFS", VERSION="1.1.0", REQUEST="GetFeature", TYPENAME="places")
    assert "gml:featureMember" in features.text


def test_data_elsewhere_are_out_of_reach(confined: Instance) -> None:
    answer = confined.ows("hidden", SERVICE="WMS", REQUEST="GetCapabilities")
    assert (answer.status, "places" in answer.text) == (422, True), answer.text
