# SPDX-License-Identifier: GPL-2.0-or-later
"""What is read of a project's file: layers, extent, services, whether it may be listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from qgsd.proxy.project_text import SERVICES, About, read


def about(tmp_path: Path, body: str) -> About:
    path = tmp_path / "town.qgs"
    path.write_text(f"<qgis>{body}</qgis>")
    return read(path)


def layer(name: str, box: str = "", title: str = "") -> str:
    sides = ""
    if box:
        names = ("xmin", "ymin", "xmax", "ymax")
        sides = "".join(f"<{n}>{v}</{n}>" for n, v in zip(names, box.split(), strict=True))
    extent = f"<wgs84extent>{sides}</wgs84extent>" if box else ""
    return (
        f"<maplayer>{extent}<id>{name}_1</id><layername>{name}</layername><title>{title}</title></maplayer>"
    )


def leaf(name: str) -> str:
    return f'<layer-tree-layer id="{name}_1" name="{name}"/>'


def texts(name: str, *values: str) -> str:
    return f"<{name} type='QStringList'>" + "".join(f"<value>{v}</value>" for v in values) + f"</{name}>"


TREE = (
    "<layer-tree-group>" + leaf("roads")
    + f'<layer-tree-group name="inner">{leaf("pipes")}<layer-tree-group name="deep">{leaf("valves")}'
    + f"</layer-tree-group></layer-tree-group>{leaf('land')}</layer-tree-group>"
)  # fmt: skip
LAYERS = "".join(
    (
        layer("land", "-10 -20 30 40", "The land"),
        layer("roads", "1 2 3 4"),
        layer("pipes", "50 60 70 80"),
        layer("valves", "1.8e308 0 -1.8e308 0"),
    )
)
# A print layout has a tree of its own for its legend.
LAYOUT = (
    f"<Layouts><Layout><layer-tree-group name='legend'>{leaf('land')}</layer-tree-group></Layout></Layouts>"
)


def restricted(*names: str) -> str:
    return f"<properties>{texts('WMSRestrictedLayers', *names)}</properties>"


@pytest.mark.parametrize(
    ("properties", "layers", "box"),
    [
        ("", ("roads", "pipes", "valves", "The land"), (-10, -20, 70, 80)),
        (restricted("land"), ("roads", "pipes", "valves"), (1, 2, 70, 80)),
        (restricted("inner"), ("roads", "The land"), (-10, -20, 30, 40)),
        (restricted("deep", "roads", "land"), ("pipes",), (50, 60, 70, 80)),
        (restricted("inner", "roads", "land"), (), None),
    ],
)
def test_the_published_layers_and_where_they_are(
    tmp_path: Path, properties: str, layers: tuple[str, ...], box: object
) -> None:
    found = about(tmp_path, TREE + f"<projectlayers>{LAYERS}</projectlayers>{properties}{LAYOUT}")
    assert (found.layers, found.box) == (layers, box)


def test_a_layer_of_another_project_has_its_name(tmp_path: Path) -> None:
    found = about(tmp_path, TREE + "<projectlayers><maplayer embedded='1' id='roads_1'/></projectlayers>")
    assert found.layers == ("roads", "pipes", "valves", "land")


@pytest.mark.parametrize(
    ("crs", "extent", "box"),
    [
        ("EPSG:4326", "5 45 11 48", (5, 45, 11, 48)),
        ("EPSG:3857", "0 0 20037508.342789244 20037508.342789244", (0, 0, 180, 85.0511)),
        # A CRS that takes PROJ, and numbers that mean nothing: then the layers tell.
        ("EPSG:2056", "2485000 1075000 2834000 1296000", (-10, -20, 70, 80)),
        ("EPSG:4326", "nan 1 2 3", (-10, -20, 70, 80)),
        ("EPSG:3857", "0 0 1e300 1e300", (-10, -20, 70, 80)),
        ("EPSG:4326", "1 2 3", (-10, -20, 70, 80)),
    ],
)
def test_the_announced_extent_comes_first(tmp_path: Path, crs: str, extent: str, box: object) -> None:
    head = f"<projectCrs><spatialrefsys><authid>{crs}</authid></spatialrefsys></projectCrs>"
    properties = f"<properties>{texts('WMSExtent', *extent.split())}</properties>"
    found = about(tmp_path, f"{head}{TREE}<projectlayers>{LAYERS}</projectlayers>{properties}")
    assert found.box == pytest.approx(box, abs=1e-4)


@pytest.mark.parametrize(
    ("properties", "services"),
    [
        ("", ("WMS",)),
        (texts("WFSLayers", "a"), ("WMS", "WFS", "OGC API")),
        (texts("WFSLayers") + texts("WCSLayers", "b"), ("WMS", "WCS")),
        ("<WMTSLayers><Project type='bool'>false</Project></WMTSLayers>", ("WMS",)),
        ("<WMTSLayers><Project type='int'>1</Project></WMTSLayers>", ("WMS", "WMTS")),
        (f"<WMTSLayers>{texts('Layer', 'a')}</WMTSLayers>", ("WMS", "WMTS")),
    ],
)
def test_services_that_have_something_to_offer(
    tmp_path: Path, properties: str, services: tuple[str, ...]
) -> None:
    assert about(tmp_path, f"<properties>{properties}</properties>").services == services
    assert set(services) <= set(SERVICES)


@pytest.mark.parametrize(
    ("names", "values", "listed"),
    [
        (["qgsd_listed"], ["no"], False),
        (["other", "qgsd_listed"], ["yes", "False"], False),
        (["qgsd_listed", "other"], ["yes", "no"], True),
        (["qgsd_listed"], [], True),
        (["qgsd"], ["no"], True),
    ],
)
def test_a_variable_of_the_project_keeps_it_out_of_lists(
    tmp_path: Path, names: list[str], values: list[str], listed: bool
) -> None:
    variables = f"<Variables>{texts('variableNames', *names)}{texts('variableValues', *values)}</Variables>"
    assert about(tmp_path, f"<properties>{variables}</properties>").listed is listed


def test_properties_of_qgis_4(tmp_path: Path) -> None:
    def named(name: str, inner: str) -> str:
        return f'<properties name="{name}">{inner}</properties>'

    variables = named("variableNames", "<value>qgsd_listed</value>") + named(
        "variableValues", "<value>0</value>"
    )
    found = about(tmp_path, f"<properties>{named('Variables', variables)}</properties>")
    assert not found.listed


def test_what_follows_the_services_own_texts_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "town.qgs"
    own = "<WMSServiceTitle>T</WMSServiceTitle><WMSServiceAbstract>A</WMSServiceAbstract>"
    path.write_text(f"<qgis><properties>{own}</properties><Layouts>{' ' * 100_000}</broken>")
    assert (read(path).title, read(path).abstract) == ("T", "A")
