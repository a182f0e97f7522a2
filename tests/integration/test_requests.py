# SPDX-License-Identifier: GPL-2.0-or-later
"""What requests may not make QGIS do: asked over real connections, with projects that would obey."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from qgsd.proxy.demands import FORBIDDEN
from tests.integration.instance import GET_MAP, Instance, ows_path
from tests.integration.write_project import write

SECRET = "a-secret-of-the-environment"
LAYOUT = """
import os, sys
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
from qgis.core import *
application = QgsApplication([], False); application.initQgis()
project = QgsProject()
assert project.read(sys.argv[1])
layout = QgsPrintLayout(project); layout.initializeDefaults(); layout.setName("Note")
label = QgsLayoutItemLabel(layout); label.setId("note"); label.setText("x")
label.attemptResize(QgsLayoutSize(200, 50)); layout.addLayoutItem(label)
project.layoutManager().addLayout(layout)
assert project.write(sys.argv[2])
os._exit(0)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, shared_root: Path) -> Path:
    folder = tmp_path_factory.mktemp("asked")
    for data in ("world.gpkg", "coast_distance.tif"):
        shutil.copy(shared_root / data, folder)
    line = [sys.executable, "-c", LAYOUT, str(shared_root / "world.qgs"), str(folder / "open.qgs")]
    made = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr
    layers = [["places", f"{folder / 'world.gpkg'}|layername=places", "ogr"]]
    names = ("free/town", "closed")
    (folder / "free").mkdir()
    write(*({"uri": str(folder / f"{name}.qgs"), "title": name, "layers": layers} for name in names))
    return folder


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Instance]:
    folder = tmp_path_factory.mktemp("q") / "i"
    options = ("--rootdir", str(root), "-w", "1", "--set", "cache.writable_projects=free/*")
    instance = Instance(folder, "run", options, env={"TOWN_PASSWORD": SECRET})
    with instance:
        yield instance


def served(instance: Instance) -> int:
    return sum(row["requests"] for row in instance.workers())


PRINT = {
    "SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetPrint", "TEMPLATE": "Note", "FORMAT": "svg",
    "CRS": "EPSG:3857", "DPI": "96",
}  # fmt: skip
FEATURES = {"SERVICE": "WFS", "VERSION": "1.1.0", "REQUEST": "GetFeature", "TYPENAME": "places"}
BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><GetCapabilities service="WMS"/>'
STYLE = '<StyledLayerDescriptor><OnlineResource xlink:href="http://10.0.0.1/a.svg"/></StyledLayerDescriptor>'


@pytest.mark.parametrize(
    ("parameters", "status", "word"),
    [
        (GET_MAP | {"WIDTH": "50000"}, 400, "max_width"),
        (GET_MAP | {"WIDTH": "16000", "HEIGHT": "16000"}, 400, "max_pixels"),
        (PRINT | {"DPI": "9600"}, 400, "max_dpi"),
        (PRINT | {"note": "[% env('TOWN_PASSWORD') %]"}, 403, "expressions"),
        (PRINT | {"note": "file:///etc/passwd"}, 403, "remote_hosts"),
        (FEATURES | {"EXP_FILTER": f"env('TOWN_PASSWORD') = '{SECRET}'"}, 403, "env()"),
        (GET_MAP | {"SLD": "http://127.0.0.1:1/"}, 403, "remote_hosts"),
        (GET_MAP | {"SLD_BODY": STYLE}, 403, "remote_hosts"),
        (GET_MAP | {"LAYERS": "EXTERNAL_WMS:a", "a:url": "http://10.0.0.1/"}, 403, "remote_hosts"),
    ],
)
def test_refused_before_a_worker_is_touched(
    asked: Instance, parameters: dict[str, str], status: int, word: str
) -> None:
    before = served(asked)
    answer = asked.ows("open", **parameters)
    assert (answer.status, "ServiceException" in answer.text, word in answer.text) == (status, True, True), (
        answer
    )
    assert SECRET not in answer.text
    assert served(asked) == before


def test_documents_with_entities_reach_no_worker(asked: Instance) -> None:
    before = served(asked)
    answer = asked.request("POST", ows_path("open"), BOMB.encode(), {"Content-Type": "text/xml"})
    assert (answer.status, "document type" in answer.text) == (400, True), answer.text
    assert served(asked) == before


def test_labels_of_prints_are_filled_in_as_ever(asked: Instance) -> None:
    long, short = (
        asked.ows("open", **PRINT, note=f"Sewers{more}") for more in (", see http://town.example", "")
    )
    assert (long.status, short.status) == (200, 200), long.text
    # As text, or of late as outlines of the letters.
    assert "Sewers, see" in long.text or len(long.body) > len(short.body) + 1000


def test_the_functions_that_read_the_machine_are_known() -> None:
    """A QGIS that brings more of them fails here."""
    code = (
        "import os; os.environ.setdefault('QT_QPA_PLATFORM', 'offscreen')\n"
        "from qgis.core import QgsApplication, QgsExpression\n"
        "application = QgsApplication([], False)\n"
        "print(*(f.name() for f in QgsExpression.Functions() if 'Files and Paths' in f.groups()\n"
        "        or f.name() in ('env', 'eval', 'eval_template', 'load_layer', 'layer_property')))\n"
        "os._exit(0)\n"
    )
    code = code.replace("os._exit(0)", "import sys; sys.stdout.flush(); os._exit(0)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    # These only take a text apart.
    harmless = {"base_file_name", "file_name", "file_suffix"}
    assert {"env", "file_exists"} <= set(done.stdout.split()), done.stderr
    assert set(done.stdout.split()) - harmless <= FORBIDDEN


def test_clients_write_only_to_projects_that_are_named(asked: Instance, root: Path) -> None:
    def delete(project: str) -> str:
        body = (
            "<wfs:Transaction service='WFS' version='1.0.0' xmlns:wfs='http://www.opengis.net/wfs' "
            "xmlns:ogc='http://www.opengis.net/ogc'><wfs:Delete typeName='places'><ogc:Filter>"
            "<ogc:FeatureId fid='places.2'/></ogc:Filter></wfs:Delete></wfs:Transaction>"
        )
        kind = {"Content-Type": "text/xml"}
        return asked.request("POST", ows_path(project), body.encode(), kind).text

    def is_there() -> bool:
        with closing(sqlite3.connect(f"file:{root / 'world.gpkg'}?mode=ro", uri=True)) as database:
            return bool(database.execute("SELECT 1 FROM places WHERE fid = 2").fetchall())

    assert "SUCCESS" not in delete("closed")
    assert is_there()
    assert "SUCCESS" in delete("free/town")
    assert not is_there()


def test_projects_cannot_run_python(asked: Instance, root: Path, tmp_path: Path) -> None:
    """Neither by macros nor by functions of expressions: in our workers QGIS has nobody to run them."""
    traces = [tmp_path / "macro", tmp_path / "function"]
    code = "import pathlib\ndef openProject():\n    pathlib.Path({!r}).touch()\nopenProject()\n"
    macro, function = (escape(code.format(str(trace)), {'"': "&quot;"}) for trace in traces)
    text = (root / "open.qgs").read_text()
    properties = (
        f'<Macros><pythonCode type="QString">{macro}</pythonCode></Macros>'
        f'<ExpressionFunctions><pythonCode type="QString">{function}</pythonCode></ExpressionFunctions>'
    )
    changed = re.sub(r"<properties>", f"<properties>{properties}".replace("\\", "\\\\"), text, count=1)
    assert changed != text
    (root / "macros.qgs").write_text(changed)
    assert asked.ows("macros", **GET_MAP).status == 200
    assert not [trace for trace in traces if trace.exists()]
