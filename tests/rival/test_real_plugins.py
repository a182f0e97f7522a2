# SPDX-License-Identifier: GPL-2.0-or-later
"""Plugins of others, in qgsd and in py-qgis-server: the same answers.

QGSD_PLUGINS names a folder with wfsOutputExtension, lizmap_server and atlasprint, in versions for QGIS 3.22;
they are not on a package registry, so this is run by hand with `make test-rival`. Skipped without.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.differential.ask import Ask
from tests.differential.compare import differences
from tests.differential.sides import ENVIRONMENT, Ours, build_projects
from tests.integration.instance import Instance
from tests.integration.test_migration import Moved
from tests.rival import test_rival
from tests.rival.reasons import HEADERS
from tests.rival.test_rival import Rival

PLUGINS = os.environ.get("QGSD_PLUGINS", "")
pytestmark = [
    pytest.mark.skipif(not (PLUGINS and test_rival.RIVAL), reason="needs QGSD_PLUGINS and make test-rival"),
    pytest.mark.timeout(300),
]

CONFIG = (
    f"[server]\npluginpath={PLUGINS}\nallow_headers=X-Qgis-,X-Lizmap-\n"
    "[projects.cache]\ncheck_interval=1\n[api.enabled]\nlizmap_api=yes\n"
)
FEATURES = "/ows/?MAP=survey&SERVICE=WFS&VERSION=1.0.0&REQUEST=GetFeature&TYPENAME=points&OUTPUTFORMAT="
EXPRESSION = "/ows/?MAP=survey&SERVICE=EXPRESSION&REQUEST=Evaluate&LAYER=points&EXPRESSION="
LIZMAP = {"X-Lizmap-User": "bob", "X-Lizmap-User-Groups": "some, others"}
ASKS = [
    Ask(f"{FEATURES}CSV"),
    Ask(f"{FEATURES}GPX"),
    Ask(f"{FEATURES}geojson"),
    Ask("/ows/?MAP=survey&SERVICE=ATLAS&REQUEST=GetPrint"),
    Ask(f"{EXPRESSION}1%2B1"),
    Ask(f"{EXPRESSION}1%2B"),
    Ask("/ows/?MAP=survey&SERVICE=EXPRESSION&REQUEST=Nothing"),
    Ask("/ows/?MAP=survey&SERVICE=LIZMAP&REQUEST=GetSubsetString&LAYER=points"),
    Ask("/ows/?MAP=survey&SERVICE=WMS&REQUEST=GetCapabilities", headers=LIZMAP),
    Ask("/ows/?MAP=survey&SERVICE=WMS&REQUEST=GetLegendGraphic&LAYER=areas&FORMAT=application/json"),
]


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rival, Instance]]:
    theirs, ours = tmp_path_factory.mktemp("theirs"), tmp_path_factory.mktemp("ours")
    build_projects(theirs / "projects")
    shutil.copytree(theirs / "projects", ours / "projects")
    arguments = ("-b", "127.0.0.1", "-w", "1", "--rootdir", str(ours / "projects"))
    instance = Moved(ours / "i", "run", arguments, config=CONFIG, env=ENVIRONMENT)
    rival = Rival(theirs, CONFIG)
    try:
        instance.wait_serving()
        rival.wait_serving()
        yield rival, instance
    finally:
        rival.close()
        left = instance.end()
    assert not left, f"left behind: {left}"


@pytest.mark.parametrize("ask", ASKS, ids=[ask.name for ask in ASKS])
def test_the_same_answer_of_a_plugin(
    sides: tuple[Rival, Instance], ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.differential.compare.OURS", test_rival.compare.OURS | HEADERS)
    rival, instance = sides
    theirs, ours = rival.ask(ask, f"127.0.0.1:{instance.port}"), Ours(instance.port).ask(ask)
    assert differences(theirs, ours) == []


def test_a_plugin_finds_its_version_where_qgis_has_it(sides: tuple[Rival, Instance]) -> None:
    """In qgis.utils; py-qgis-server leaves it empty, and the answer is `__error__`."""
    ask = Ask("/ows/?MAP=survey&SERVICE=ATLAS&REQUEST=GetCapabilities")
    assert b'"version": "__error__"' not in Ours(sides[1].port).ask(ask).body


def test_all_have_loaded(sides: tuple[Rival, Instance]) -> None:
    _, instance = sides
    for plugin in ("wfsOutputExtension", "lizmap_server", "atlasprint"):
        assert f"plugin {plugin}" in instance.log_text
    assert "plugin.broken" not in instance.ctl("--json", "events").stdout
