# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes world.qgs: the layers, their styles and labels, the print layout, and what is published."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

from qgis.core import (
    Qgis,
    QgsCategorizedSymbolRenderer,
    QgsColorRampShader,
    QgsCoordinateReferenceSystem,
    QgsFillSymbol,
    QgsLayerTreeLayer,
    QgsLayoutItem,
    QgsLayoutItemLabel,
    QgsLayoutItemLegend,
    QgsLayoutItemMap,
    QgsLayoutItemPage,
    QgsLayoutItemScaleBar,
    QgsLayoutMeasurement,
    QgsLayoutPoint,
    QgsLayoutSize,
    QgsLegendStyle,
    QgsLineSymbol,
    QgsMapLayer,
    QgsMapLayerLegendUtils,
    QgsMarkerSymbol,
    QgsNullSymbolRenderer,
    QgsPalLayerSettings,
    QgsPrintLayout,
    QgsProject,
    QgsProperty,
    QgsRasterDataProvider,
    QgsRasterLayer,
    QgsRasterShader,
    QgsRectangle,
    QgsRendererCategory,
    QgsRuleBasedLabeling,
    QgsRuleBasedRenderer,
    QgsSimpleFillSymbolLayer,
    QgsSingleBandPseudoColorRenderer,
    QgsSingleSymbolRenderer,
    QgsSymbolLayer,
    QgsTextBufferSettings,
    QgsTextFormat,
    QgsUnitTypes,
    QgsVectorLayer,
    QgsVectorLayerSimpleLabeling,
    QgsWkbTypes,
)
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QColor, QFont

FONT = "DejaVu Sans"
INK = "#3d4a55"
SEA_INK = "#5f89a3"
PLACE_INK = "#8a3b2e"
SEA = "#cfe1ec"
ATTRIBUTION = "Made with Natural Earth. Populations and capitals: GeoNames (CC BY 4.0)."
SCALE_NOTE = "Web Mercator; the scale bar holds at the equator."
MERCATOR_HALF = 20037508.342789244
# CRS, top, left, scale denominator of level 0, last level.
TILE_GRIDS = [
    f"EPSG:3857,{MERCATOR_HALF},{-MERCATOR_HALF},559082264.028718,9",
    "EPSG:4326,90,-180,279541132.014358,8",
]

# Bottom to top; the name is also the short name of the layer and its table in world.gpkg.
LAYERS: dict[str, tuple[str, str, list[str]]] = {
    "coast_distance": (
        "Distance to the coast",
        "Great-circle distance to the nearest coast in kilometres on a half-degree grid, negative on land.",
        ["raster", "sea", "distance"],
    ),
    "graticule": (
        "Graticule",
        "Meridians and parallels every 15 degrees, the equator, the tropics and the polar circles.",
        ["graticule", "equator", "tropics"],
    ),
    "countries": (
        "Countries",
        "Countries and territories of Natural Earth 1:50m, generalised, with continent and population.",
        ["countries", "continents", "population"],
    ),
    "coastline": ("Coastline", "Coastline of Natural Earth 1:50m, generalised.", ["coast"]),
    "boundaries": (
        "Boundaries",
        "Land boundaries, each once, with the names on both sides.",
        ["boundaries", "borders"],
    ),
    "oceans": ("Oceans", "Names of the oceans, placed for a world map.", ["oceans"]),
    "places": (
        "Populated places",
        "Capitals and major cities of Natural Earth 1:110m with the population from GeoNames.",
        ["cities", "capitals", "population"],
    ),
}

CONTINENT_COLOURS = {
    "Africa": "#f4e2c4",
    "Antarctica": "#f1f5f7",
    "Asia": "#f0d6cb",
    "Europe": "#d7e0c2",
    "North America": "#ddd5e6",
    "Oceania": "#f0e2a9",
    "South America": "#c8dfca",
}
MAP_COLOURS = ["#f6d9b4", "#cfe0c3", "#e3cfe0", "#f4e9b8", "#efc9c0"]

# Name, filter, size of the marker in mm, label size in pt, largest scale denominator shown.
PLACE_CLASSES: list[tuple[str, str, float, float, int]] = [
    ("More than 10 million", '"population" >= 10000000', 2.6, 7.5, 0),
    ("5 to 10 million", '"population" >= 5000000 AND "population" < 10000000', 2.1, 7.0, 190_000_000),
    ("1 to 5 million", '"population" >= 1000000 AND "population" < 5000000', 1.6, 6.5, 80_000_000),
    ("Less than 1 million", 'coalesce("population", 0) < 1000000', 1.2, 6.0, 40_000_000),
]


def text_format(
    size: float, colour: str, *, italic: bool = False, halo: str = "", spacing: float = 0.0
) -> QgsTextFormat:
    """A text format in points; the halo is what keeps a label readable over lines and colours."""
    font = QFont(FONT)
    font.setItalic(italic)
    if spacing:
        font.setLetterSpacing(QFont.AbsoluteSpacing, spacing)
    result = QgsTextFormat()
    result.setFont(font)
    result.setSize(size)
    result.setSizeUnit(QgsUnitTypes.RenderPoints)
    result.setColor(QColor(colour))
    if halo:
        buffer = QgsTextBufferSettings()
        buffer.setEnabled(True)
        buffer.setSize(0.7)
        buffer.setColor(QColor(halo))
        buffer.setOpacity(0.8)
        result.setBuffer(buffer)
    return result


def label_settings(field: str, text: QgsTextFormat, *, expression: bool = False) -> QgsPalLayerSettings:
    settings = QgsPalLayerSettings()
    settings.fieldName = field
    settings.isExpression = expression
    settings.setFormat(text)
    return settings


def open_layers(folder: Path) -> dict[str, QgsMapLayer]:
    layers: dict[str, QgsMapLayer] = {}
    for name in LAYERS:
        if name == "coast_distance":
            layer: QgsMapLayer = QgsRasterLayer(str(folder / f"{name}.tif"), name)
        else:
            layer = QgsVectorLayer(f"{folder / 'world.gpkg'}|layername={name}", name, "ogr")
        if not layer.isValid():
            raise ValueError(f"layer {name} does not open")
        layers[name] = layer
    return layers


def describe(layer: QgsMapLayer, title: str, abstract: str, keywords: list[str]) -> None:
    layer.setShortName(layer.name())
    layer.setTitle(title)
    layer.setAbstract(abstract)
    layer.setKeywordList(",".join(keywords))
    joined = layer.shortName() in ("countries", "places")
    layer.setAttribution(ATTRIBUTION if joined else "Made with Natural Earth.")
    layer.setAttributionUrl("https://www.naturalearthdata.com/")


def style_coast_distance(layer: QgsRasterLayer) -> None:
    """Default: the sea in ever deeper blue, land like the shore, since countries cover it.

    A grid cell on the shore would otherwise bleed land colour into the sea.
    """
    sea = [(0, "#d9e8f0"), (150, "#cbdfeb"), (500, "#bcd5e5"), (1200, "#abc9dd"), (2800, "#93b8d2")]
    apply_ramp(layer, [(-2400, "#d9e8f0"), *sea])
    styles = layer.styleManager()
    styles.addStyleFromLayer("signed")
    styles.setCurrentStyle("signed")
    land = [(-2400, "#b08d57"), (-1200, "#cdb384"), (-500, "#e2d0ab"), (-150, "#eee3ca"), (-1, "#f6f0e1")]
    apply_ramp(layer, [*land, *sea])
    styles.setCurrentStyle("default")


def apply_ramp(layer: QgsRasterLayer, steps: list[tuple[int, str]]) -> None:
    ramp = QgsColorRampShader(steps[0][0], steps[-1][0])
    ramp.setColorRampType(QgsColorRampShader.Interpolated)
    items = [
        QgsColorRampShader.ColorRampItem(value, QColor(colour), f"{value} km") for value, colour in steps
    ]
    ramp.setColorRampItemList(items)
    shader = QgsRasterShader()
    shader.setRasterShaderFunction(ramp)
    renderer = QgsSingleBandPseudoColorRenderer(layer.dataProvider(), 1, shader)
    renderer.setClassificationMin(steps[0][0])
    renderer.setClassificationMax(steps[-1][0])
    layer.setRenderer(renderer)
    provider = layer.dataProvider()
    provider.enableProviderResampling(True)
    provider.setZoomedInResamplingMethod(QgsRasterDataProvider.ResamplingMethod.Bilinear)
    provider.setZoomedOutResamplingMethod(QgsRasterDataProvider.ResamplingMethod.Bilinear)
    layer.setResamplingStage(Qgis.RasterResamplingStage.Provider)


def fill_symbol(colour: str, variation: str = "") -> QgsFillSymbol:
    """A fill without an outline: coastline and boundaries are layers of their own."""
    symbol = QgsFillSymbol.createSimple({"color": colour, "outline_style": "no"})
    if variation:
        fill: QgsSimpleFillSymbolLayer = symbol.symbolLayer(0)
        fill.setDataDefinedProperty(QgsSymbolLayer.PropertyFillColor, QgsProperty.fromExpression(variation))
    return symbol


def style_countries(layer: QgsVectorLayer) -> None:
    layer.setLabeling(QgsVectorLayerSimpleLabeling(country_labels()))
    layer.setLabelsEnabled(True)
    layer.setDisplayExpression('"name"')
    # Neighbours of one continent share the hue but differ in tone.
    tone = 'darker(@symbol_color, if("continent" = \'Antarctica\', 100, 97 + 3 * "map_colour"))'
    by_continent = [
        QgsRendererCategory(name, fill_symbol(colour, tone), name)
        for name, colour in CONTINENT_COLOURS.items()
    ]
    layer.setRenderer(QgsCategorizedSymbolRenderer("continent", by_continent))
    styles = layer.styleManager()
    styles.addStyleFromLayer("map_colours")
    styles.setCurrentStyle("map_colours")
    by_colour = [
        QgsRendererCategory(number, fill_symbol(colour), f"Colour {number}")
        for number, colour in enumerate(MAP_COLOURS, start=1)
    ]
    layer.setRenderer(QgsCategorizedSymbolRenderer("map_colour", by_colour))
    styles.setCurrentStyle("default")


def country_labels() -> QgsPalLayerSettings:
    """Names at a point fixed in the data, so that a name does not jump from tile to tile."""
    text = text_format(7.0, "#5b5348", halo="#ffffff", spacing=0.6)
    settings = label_settings('upper("name")', text, expression=True)
    settings.placement = QgsPalLayerSettings.OverPoint
    settings.geometryGeneratorEnabled = True
    settings.geometryGeneratorType = QgsWkbTypes.PointGeometry
    settings.geometryGenerator = 'make_point("label_x", "label_y")'
    settings.wrapChar = " "
    settings.multilineAlign = QgsPalLayerSettings.MultiCenter
    settings.multilineHeight = 0.95
    settings.priority = 7
    properties = settings.dataDefinedProperties()
    fits = QgsProperty.fromExpression('@map_scale <= "label_scale" AND "continent" <> \'Antarctica\'')
    properties.setProperty(QgsPalLayerSettings.Show, fits)
    size = 'scale_linear(sqrt("label_scale" / @map_scale), 1, 3, 6.2, 10.5)'
    properties.setProperty(QgsPalLayerSettings.Size, QgsProperty.fromExpression(size))
    settings.setDataDefinedProperties(properties)
    return settings


def style_lines(layer: QgsVectorLayer, colour: str, width: float) -> None:
    properties = {"line_color": colour, "line_width": str(width), "joinstyle": "round", "capstyle": "round"}
    layer.setRenderer(QgsSingleSymbolRenderer(QgsLineSymbol.createSimple(properties)))


def add_core(layer: QgsVectorLayer, colour: str, width: float) -> None:
    """A lighter line within the line: white alone would be lost in a legend on white."""
    core = QgsLineSymbol.createSimple({"line_color": colour, "line_width": str(width), "joinstyle": "round"})
    symbol = layer.renderer().symbol()
    symbol.appendSymbolLayer(core.symbolLayer(0).clone())


def style_graticule(layer: QgsVectorLayer) -> None:
    thin = QgsLineSymbol.createSimple({"line_color": "95,137,163,70", "line_width": "0.13"})
    dashed = QgsLineSymbol.createSimple(
        {"line_color": "95,137,163,150", "line_width": "0.2", "line_style": "dash"}
    )
    root = QgsRuleBasedRenderer.Rule(None)
    root.appendChild(QgsRuleBasedRenderer.Rule(thin, 0, 0, "\"kind\" <> 'circle'", "Every 15 degrees"))
    root.appendChild(QgsRuleBasedRenderer.Rule(dashed, 0, 0, "\"kind\" = 'circle'", "Named parallels"))
    layer.setRenderer(QgsRuleBasedRenderer(root))
    labels = label_settings("name", text_format(6.0, SEA_INK, italic=True))
    labels.geometryGeneratorEnabled = True
    labels.geometryGeneratorType = QgsWkbTypes.PointGeometry
    labels.geometryGenerator = 'make_point("label_x", "degrees")'
    labels.placement = QgsPalLayerSettings.OverPoint
    labels.quadOffset = QgsPalLayerSettings.QuadrantAbove
    labels.priority = 2
    rules = QgsRuleBasedLabeling.Rule(None)
    rules.appendChild(QgsRuleBasedLabeling.Rule(labels, 0, 160_000_000, "\"kind\" = 'circle'", "Names"))
    layer.setLabeling(QgsRuleBasedLabeling(rules))
    layer.setLabelsEnabled(True)


def style_oceans(layer: QgsVectorLayer) -> None:
    layer.setRenderer(QgsNullSymbolRenderer())
    labels = label_settings("name", text_format(9.0, SEA_INK, italic=True, spacing=1.2))
    labels.placement = QgsPalLayerSettings.OverPoint
    labels.wrapChar = " "
    labels.multilineAlign = QgsPalLayerSettings.MultiCenter
    labels.priority = 9
    labels.scaleVisibility = True
    labels.minimumScale, labels.maximumScale = 320_000_000, 12_000_000
    layer.setLabeling(QgsVectorLayerSimpleLabeling(labels))
    layer.setLabelsEnabled(True)


def place_symbol(size: float) -> QgsMarkerSymbol:
    properties = {"name": "circle", "size": str(size), "color": "#ffffff", "outline_color": PLACE_INK}
    properties["outline_width"] = "0.35"
    return QgsMarkerSymbol.createSimple(properties)


def capital_symbol() -> QgsMarkerSymbol:
    """A dot for the middle of the ring that the same place gets for its population."""
    properties = {"name": "circle", "size": "0.8", "color": PLACE_INK, "outline_style": "no"}
    return QgsMarkerSymbol.createSimple(properties)


def style_places(layer: QgsVectorLayer) -> None:
    root = QgsRuleBasedRenderer.Rule(None)
    labels = QgsRuleBasedLabeling.Rule(None)
    for title, condition, size, label_size, scale in PLACE_CLASSES:
        plain = QgsRuleBasedRenderer.Rule(place_symbol(size), 0, scale, condition, title)
        root.appendChild(plain)
        labels.appendChild(QgsRuleBasedLabeling.Rule(place_labels(label_size), 0, scale, condition, title))
    root.appendChild(
        QgsRuleBasedRenderer.Rule(capital_symbol(), 0, 40_000_000, '"is_capital" = 1', "Capital (dot)")
    )
    layer.setRenderer(QgsRuleBasedRenderer(root))
    layer.setLabeling(QgsRuleBasedLabeling(labels))
    layer.setLabelsEnabled(True)
    layer.setDisplayExpression('"name"')
    layer.setMapTipTemplate('<b>[% "name" %]</b>, [% "country" %]')


def place_labels(size: float) -> QgsPalLayerSettings:
    settings = label_settings("name", text_format(size, INK, halo="#ffffff"))
    settings.placement = QgsPalLayerSettings.OrderedPositionsAroundPoint
    settings.offsetType = QgsPalLayerSettings.FromSymbolBounds
    settings.dist = 0.5
    settings.priority = 5
    properties = settings.dataDefinedProperties()
    # The most populous place wins where two names collide.
    weight = QgsProperty.fromExpression('scale_exp(coalesce("population", 0), 0, 25000000, 1, 9, 0.5)')
    properties.setProperty(QgsPalLayerSettings.Priority, weight)
    settings.setDataDefinedProperties(properties)
    return settings


def style_layers(layers: dict[str, QgsMapLayer]) -> None:
    style_coast_distance(layers["coast_distance"])
    style_graticule(layers["graticule"])
    style_countries(layers["countries"])
    style_lines(layers["coastline"], "#86a5b8", 0.18)
    style_lines(layers["boundaries"], "#d5c8bc", 0.44)
    add_core(layers["boundaries"], "#ffffff", 0.3)
    style_oceans(layers["oceans"])
    style_places(layers["places"])


def publish(project: QgsProject, layers: dict[str, QgsMapLayer]) -> None:
    """What the four services offer, and what their capabilities say about it."""
    vectors = [layer.id() for name, layer in layers.items() if name != "coast_distance"]
    rasters = [layers["coast_distance"].id()]
    everything = vectors + rasters
    publish_metadata(project)
    half = str(MERCATOR_HALF)
    project.writeEntry("WMSExtent", "/", [f"-{half}", f"-{half}", half, half])
    project.writeEntry("WMSCrsList", "/", ["EPSG:3857", "EPSG:4326"])
    project.writeEntry("WMSAddWktGeometry", "/", True)
    project.writeEntry("WMSUseLayerIDs", "/", False)
    project.writeEntry("WMSPrecision", "/", "5")
    project.writeEntry("WMSFeatureInfoUseAttributeFormSettings", "/", False)
    # Labels near the edge of a tile need to know what lies beyond it.
    project.writeEntry("WMSTileBuffer", "/", 96)
    project.writeEntry("WMSMaxAtlasFeatures", "/", 1)
    project.writeEntry("WFSLayers", "/", vectors)
    for layer_id in vectors:
        project.writeEntry("WFSLayersPrecision", f"/{layer_id}", 5)
    project.writeEntry("WCSLayers", "/", rasters)
    project.writeEntry("WMTSLayers", "/Project", True)
    project.writeEntry("WMTSLayers", "/Layer", everything)
    project.writeEntry("WMTSPngLayers", "/Project", True)
    project.writeEntry("WMTSPngLayers", "/Layer", everything)
    project.writeEntry("WMTSJpegLayers", "/Project", True)
    project.writeEntry("WMTSGrids", "/CRS", ["EPSG:3857", "EPSG:4326"])
    project.writeEntry("WMTSGrids", "/Config", TILE_GRIDS)


def publish_metadata(project: QgsProject) -> None:
    project.setTitle("World")
    abstract = (
        "A world map over Natural Earth data: countries by continent, populated places by size, "
        "boundaries, a graticule, and the distance to the coast as a raster."
    )
    texts = {
        "WMSServiceTitle": "World",
        "WMSServiceAbstract": abstract,
        "WMSRootName": "world",
        "WMSContactOrganization": "World example",
        "WMSContactPerson": "Map desk",
        "WMSContactPosition": "Cartographer",
        "WMSContactMail": "maps@example.org",
        "WMSFees": "None",
        "WMSAccessConstraints": "None",
    }
    project.writeEntry("WMSServiceCapabilities", "/", True)
    for key, value in texts.items():
        project.writeEntry(key, "/", value)
    project.writeEntry("WMSKeywordList", "/", ["world", "countries", "cities", "Natural Earth"])
    metadata = project.metadata()
    metadata.setTitle("World")
    metadata.setAbstract(abstract)
    metadata.setAuthor("")
    project.setMetadata(metadata)


def place(
    layout: QgsPrintLayout, item: QgsLayoutItem, x: float, y: float, width: float, height: float
) -> None:
    layout.addLayoutItem(item)
    item.attemptMove(QgsLayoutPoint(x, y, QgsUnitTypes.LayoutMillimeters))
    item.attemptResize(QgsLayoutSize(width, height, QgsUnitTypes.LayoutMillimeters))


def layout_label(
    layout: QgsPrintLayout, name: str, text: str, size: float, colour: str
) -> QgsLayoutItemLabel:
    label = QgsLayoutItemLabel(layout)
    label.setId(name)
    label.setText(text)
    font = QFont(FONT)
    font.setPointSizeF(size)
    label.setFont(font)
    label.setFontColor(QColor(colour))
    return label


def layout_map(layout: QgsPrintLayout) -> QgsLayoutItemMap:
    item = QgsLayoutItemMap(layout)
    item.setId("map")
    place(layout, item, 10, 24, 277, 150)
    item.setCrs(QgsCoordinateReferenceSystem("EPSG:3857"))
    item.setExtent(QgsRectangle(-MERCATOR_HALF, -7_360_000, MERCATOR_HALF, 14_340_000))
    item.setBackgroundColor(QColor(SEA))
    item.setFrameEnabled(True)
    item.setFrameStrokeColor(QColor("#86a5b8"))
    item.setFrameStrokeWidth(QgsLayoutMeasurement(0.3))
    return item


def layout_legend(
    layout: QgsPrintLayout, linked: QgsLayoutItemMap, layers: dict[str, QgsMapLayer]
) -> QgsLayoutItemLegend:
    legend = QgsLayoutItemLegend(layout)
    legend.setId("legend")
    legend.setTitle("")
    legend.setLinkedMap(linked)
    legend.setAutoUpdateModel(False)
    group = legend.model().rootGroup()
    group.clear()
    for name in ("countries", "places"):
        node: QgsLayerTreeLayer = group.addLayer(layers[name])
        title = "Continents" if name == "countries" else "Populated places"
        node.setCustomProperty("legend/title-label", title)
        if name == "places":
            node.setCustomProperty("legend/column-break", "1")
        QgsMapLayerLegendUtils.setLegendNodeColumnBreak(node, 4 if name == "countries" else 3, True)
    legend.setColumnCount(1)
    legend.setSplitLayer(False)
    legend.setEqualColumnWidth(False)
    for style, size in ((QgsLegendStyle.Subgroup, 8.5), (QgsLegendStyle.SymbolLabel, 7.5)):
        font = QFont(FONT)
        font.setPointSizeF(size)
        legend.setStyleFont(style, font)
    legend.setFontColor(QColor(INK))
    legend.setSymbolHeight(3)
    legend.setSymbolWidth(6)
    legend.setBoxSpace(0)
    legend.setColumnSpace(8)
    legend.setBackgroundEnabled(False)
    return legend


def layout_scale_bar(layout: QgsPrintLayout, linked: QgsLayoutItemMap) -> QgsLayoutItemScaleBar:
    bar = QgsLayoutItemScaleBar(layout)
    bar.setId("scale bar")
    bar.setStyle("Line Ticks Up")
    bar.setLinkedMap(linked)
    bar.setUnits(QgsUnitTypes.DistanceKilometers)
    bar.setUnitLabel("km")
    bar.setMapUnitsPerScaleBarUnit(1)
    bar.setNumberOfSegments(2)
    bar.setNumberOfSegmentsLeft(0)
    bar.setUnitsPerSegment(2000)
    text = text_format(7.0, INK)
    bar.setTextFormat(text)
    return bar


def add_layout(project: QgsProject, layers: dict[str, QgsMapLayer]) -> None:
    layout = QgsPrintLayout(project)
    layout.initializeDefaults()
    layout.setName("A4 landscape")
    layout.renderContext().setDpi(200)
    page = layout.pageCollection().page(0)
    page.setPageSize("A4", QgsLayoutItemPage.Landscape)
    linked = layout_map(layout)
    place(layout, layout_label(layout, "title", "World", 22, INK), 10, 8, 120, 12)
    subtitle = layout_label(layout, "subtitle", "Countries by continent, places by population", 9, "#6d7a85")
    subtitle.setHAlign(Qt.AlignRight)
    place(layout, subtitle, 147, 13, 140, 7)
    place(layout, layout_legend(layout, linked, layers), 10, 177, 180, 26)
    place(layout, layout_scale_bar(layout, linked), 225, 178, 60, 12)
    credit = layout_label(layout, "attribution", f"{ATTRIBUTION}\n{SCALE_NOTE}", 6.5, INK)
    credit.setHAlign(Qt.AlignRight)
    place(layout, credit, 187, 194, 100, 9)
    project.layoutManager().addLayout(layout)


def stable_xml(text: str, layer_ids: dict[str, str]) -> str:
    """Removes what differs from build to build or tells about the machine of the build."""
    for layer_id, name in layer_ids.items():
        text = text.replace(layer_id, name)
    text = re.sub(r' saveUser(Full)?="[^"]*"', "", text)
    text = re.sub(r' saveDateTime="[^"]*"', "", text)
    # QGIS writes these in the order of memory addresses, and a server never snaps.
    text = re.sub(r"\s*<layer-setting [^>]*/>", "", text)
    text = re.sub(r"<(author|creation)>[^<]*</\1>", "", text)
    seen: dict[str, str] = {}

    def renumbered(match: re.Match[str]) -> str:
        found, mark = match.group(0), match.group(1)
        stable = str(uuid.uuid5(uuid.NAMESPACE_OID, f"world-{len(seen)}")).replace("-", mark)
        return seen.setdefault(found, stable)

    return re.sub(r"[0-9a-f]{8}([-_])[0-9a-f]{4}(?:\1[0-9a-f]{4}){2}\1[0-9a-f]{12}", renumbered, text)


def build_project(folder: Path) -> None:
    """Writes world.qgs next to the data in the folder."""
    project = QgsProject.instance()
    project.clear()
    project.setCrs(QgsCoordinateReferenceSystem("EPSG:3857"))
    # A geodesic across the whole world has no length, which a scale bar cannot use.
    project.setEllipsoid("NONE")
    project.setBackgroundColor(QColor(SEA))
    project.writeEntry("Paths", "/Absolute", False)
    layers = open_layers(folder)
    for name, layer in layers.items():
        title, abstract, keywords = LAYERS[name]
        describe(layer, title, abstract, keywords)
        project.addMapLayer(layer, True)
    style_layers(layers)
    publish(project, layers)
    add_layout(project, layers)
    path = folder / "world.qgs"
    if not project.write(str(path)):
        raise OSError(f"could not write {path}: {project.error()}")
    # QGIS discards ids of ten characters or fewer.
    layer_ids = {layer.id(): f"world_layer_{name}" for name, layer in layers.items()}
    project.clear()
    path.write_text(stable_xml(path.read_text(encoding="utf-8"), layer_ids), encoding="utf-8")
