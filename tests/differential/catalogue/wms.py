# SPDX-License-Identifier: GPL-2.0-or-later
"""WMS: capabilities, maps, feature information, legends, styles, contexts, prints, and what is wrong."""

from __future__ import annotations

from tests.differential.ask import Ask, each, ows, values

WMS = {"SERVICE": "WMS"}
V130 = WMS | {"VERSION": "1.3.0"}
V111 = WMS | {"VERSION": "1.1.1"}
SIZE = {"WIDTH": 120, "HEIGHT": 100}

_DOCUMENTS = [
    "GetCapabilities",
    "GetProjectSettings",
    "GetContext",
    "GetSchemaExtension",
    "GetStyles",
    "DescribeLayer",
]

MAP_130 = V130 | SIZE | {
    "REQUEST": "GetMap", "LAYERS": "areas,points", "STYLES": "", "CRS": "EPSG:4326", "BBOX": "0,0,10,10",
    "FORMAT": "image/png",
}  # fmt: skip
MAP_111 = V111 | SIZE | {
    "REQUEST": "GetMap", "LAYERS": "relief,areas", "STYLES": ",", "SRS": "EPSG:4326", "BBOX": "0,0,10,10",
    "FORMAT": "image/png",
}  # fmt: skip
DXF = MAP_130 | {"FORMAT": "application/dxf", "LAYERS": "lines,areas"}
INFO = MAP_130 | {
    "REQUEST": "GetFeatureInfo", "QUERY_LAYERS": "areas,points", "I": 15, "J": 85, "FEATURE_COUNT": 5,
    "INFO_FORMAT": "text/xml",
}  # fmt: skip
LEGEND = V130 | {"REQUEST": "GetLegendGraphic", "LAYER": "areas", "FORMAT": "image/png"}
PRINT = V130 | {
    "REQUEST": "GetPrint", "TEMPLATE": "Blatt – 一", "CRS": "EPSG:4326", "FORMAT": "png", "DPI": 72,
    "map0:EXTENT": "0,0,10,10", "map0:LAYERS": "areas,points",
}  # fmt: skip

_IMAGES = [
    "image/png", "image/png; mode=8bit", "image/png; mode=16bit", "image/png; mode=1bit", "image/jpeg",
    "image/webp", "png", "jpg", "image/gif", "application/pdf", "image/svg+xml", "text/nonsense", "",
]  # fmt: skip
_INFO_FORMATS = [
    "text/plain", "text/html", "text/xml", "application/json", "application/geo+json",
    "application/vnd.ogc.gml", "application/vnd.ogc.gml/3.1.1", "text/nonsense",
]  # fmt: skip

_SLD = """<StyledLayerDescriptor version="1.0.0"><UserLayer><Name>areas</Name></UserLayer>
<NamedLayer><Name>areas</Name><UserStyle><FeatureTypeStyle><Rule><PolygonSymbolizer><Fill>
<CssParameter name="fill">#00ff00</CssParameter></Fill></PolygonSymbolizer></Rule></FeatureTypeStyle>
</UserStyle></NamedLayer></StyledLayerDescriptor>"""

_MAPS_ODD = [
    {"TRANSPARENT": "TRUE"},
    {"BGCOLOR": "0xFF00FF"},
    {"BGCOLOR": "nonsense"},
    {"STYLES": "rot,"},
    {"STYLES": "rot"},
    {"STYLES": "no_such_style,"},
    {"STYLES": None},
    {"STYLE": "rot", "LAYER": "areas", "LAYERS": None, "STYLES": None},
    {"LAYERS": "surfaces"},
    {"LAYERS": "survey"},
    {"LAYERS": "Straßen & Wege"},
    {"LAYERS": "no_such_layer"},
    {"LAYERS": ""},
    {"LAYERS": None},
    {"LAYERS": "areas,no_such_layer"},
    {"CRS": "EPSG:3857", "BBOX": "0,0,1113194,1118889"},
    {"CRS": "EPSG:32632", "BBOX": "0,0,1000000,1100000"},
    {"CRS": "CRS:84", "BBOX": "0,0,10,5"},
    {"CRS": "EPSG:99999"},
    {"CRS": "nonsense"},
    {"CRS": None},
    {"BBOX": "0,0,10"},
    {"BBOX": "10,10,0,0"},
    {"BBOX": "0,0,0,0"},
    {"BBOX": "a,b,c,d"},
    {"BBOX": None},
    {"WIDTH": 0},
    {"WIDTH": -5},
    {"WIDTH": "wide"},
    {"WIDTH": 4000},
    {"WIDTH": None},
    {"HEIGHT": None},
    {"DPI": 180},
    {"DPI": "many"},
    {"MAP_RESOLUTION": 200},
    {"FORMAT_OPTIONS": "dpi:200"},
    {"OPACITIES": "100,200"},
    {"FILTER": 'areas:"kind" = 1'},
    {"FILTER": "points:\"name\" = 'Ort 1 – é漢'"},
    {"FILTER": "areas:nonsense ( ="},
    {"FILTER": '(<Filter><PropertyIsEqualTo><PropertyName>kind</PropertyName><Literal>2</Literal>'
     "</PropertyIsEqualTo></Filter>)()"},
    {"SELECTION": "areas:1,2"},
    {"HIGHLIGHT_GEOM": "POINT(3 3)", "HIGHLIGHT_SYMBOL": _SLD, "HIGHLIGHT_LABELSTRING": "Ä+B"},
    {"HIGHLIGHT_GEOM": "nonsense", "HIGHLIGHT_SYMBOL": _SLD},
    {"SLD_BODY": _SLD},
    {"SLD_BODY": "<nonsense"},
    {"TILED": "TRUE"},
    {"IMAGE_QUALITY": 20, "FORMAT": "image/jpeg"},
    {"TIME": "2024-02-03"},
    {"VERSION": None},
    {"VERSION": "9.9.9"},
    {"SERVICE": None},
    {"LAYERS": "EXTERNAL_WMS:a", "a:url": "http://127.0.0.1:1/", "a:layers": "x", "a:format": "image/png"},
]  # fmt: skip

_DXF_ODD = [
    {},
    {"LAYERS": "lines"},
    {"FORMAT_OPTIONS": "SCALE:5000;MODE:SYMBOLLAYERSYMBOLOGY;USE_TITLE_AS_LAYERNAME:1"},
    {"FORMAT_OPTIONS": "CODEC:NONSENSE"},
    {"BBOX": None},
]

_INFO_ODD = [
    {"WITH_GEOMETRY": "TRUE"},
    {"WITH_MAPTIP": "TRUE"},
    {"WITH_GEOMETRY": "TRUE", "INFO_FORMAT": "application/json"},
    {"INFO_FORMAT": None},
    {"FEATURE_COUNT": 0},
    {"FEATURE_COUNT": "many"},
    {"QUERY_LAYERS": "relief", "LAYERS": "relief"},
    {"QUERY_LAYERS": "relief", "LAYERS": "relief", "INFO_FORMAT": "application/json"},
    {"QUERY_LAYERS": "surfaces", "LAYERS": "surfaces"},
    {"QUERY_LAYERS": "no_such_layer"},
    {"QUERY_LAYERS": "notes"},
    {"QUERY_LAYERS": None},
    {"I": None},
    {"I": 10000},
    {"I": "here"},
    {"I": None, "J": None, "FILTER": 'areas:"kind" = 1'},
    {"I": None, "J": None, "FILTER_GEOM": "POLYGON((0 0, 9 0, 9 9, 0 9, 0 0))"},
    {"FI_POINT_TOLERANCE": 40, "INFO_FORMAT": "text/html"},
    {"FI_POLYGON_TOLERANCE": 20},
]

_LEGENDS = [
    {},
    {"LAYER": "areas,points,relief"},
    {"LAYER": None, "LAYERS": "areas,lines"},
    {"LAYER": "Straßen & Wege"},
    {"LAYER": "surfaces"},
    {"FORMAT": "image/jpeg"},
    {"FORMAT": "image/png; mode=8bit"},
    {"FORMAT": "application/json"},
    {"FORMAT": "application/json", "LAYER": "areas,points", "SHOWRULEDETAILS": "TRUE"},
    {"FORMAT": "text/nonsense"},
    {"FORMAT": None},
    {"STYLE": "rot"},
    {"STYLES": "rot"},
    {"BOXSPACE": 10, "LAYERSPACE": 10, "SYMBOLSPACE": 5, "ICONLABELSPACE": 8, "SYMBOLWIDTH": 20},
    {"LAYERFONTSIZE": 20, "LAYERFONTBOLD": "TRUE", "ITEMFONTCOLOR": "#ff0000"},
    {"LAYERTITLE": "FALSE", "RULELABEL": "FALSE"},
    {"WIDTH": 20, "HEIGHT": 20, "RULE": "no_such_rule"},
    {"SCALE": 10000},
    {"BBOX": "0,0,3,3", "CRS": "EPSG:4326", "SRCWIDTH": 100, "SRCHEIGHT": 100},
    {"SHOWFEATURECOUNT": "TRUE"},
    {"LAYER": "no_such_layer"},
    {"LAYER": None},
    {"VERSION": "1.1.1"},
    {"SLD_VERSION": "1.1.0"},
    {"TRANSPARENT": "TRUE"},
    {"LAYERFONTSIZE": "large"},
]  # fmt: skip

_PRINTS = [
    {},
    {"FORMAT": "pdf"},
    {"FORMAT": "application/pdf"},
    {"FORMAT": "svg"},
    {"FORMAT": "jpg"},
    {"FORMAT": "image/webp"},
    {"FORMAT": "nonsense"},
    {"FORMAT": None},
    {"titel": "Ein ä & <Titel>"},
    {"map0:SCALE": 5000000},
    {"map0:ROTATION": 45},
    {"map0:STYLES": "rot,"},
    {"map0:GRID_INTERVAL_X": 1, "map0:GRID_INTERVAL_Y": 1},
    {"map0:EXTENT": None},
    {"map0:EXTENT": "nonsense"},
    {"map0:LAYERS": "no_such_layer"},
    {"map0:LAYERS": None},
    {"map0:HIGHLIGHT_GEOM": "LINESTRING(1 1, 9 9)", "map0:HIGHLIGHT_SYMBOL": _SLD},
    {"TEMPLATE": "no such template"},
    {"TEMPLATE": None},
    {"CRS": "EPSG:3857", "map0:EXTENT": "0,0,1000000,1000000"},
    {"DPI": 150},
    {"ATLAS_PK": "1"},
]

# Without the layers that have labels: QGIS itself draws some of these now here, now there.
_WORLD_MAP = MAP_130 | {
    "LAYERS": "coast_distance,coastline,boundaries", "CRS": "EPSG:3857",
    "BBOX": "-2000000,3000000,4000000,8000000",
}  # fmt: skip

ASKS: list[Ask] = [
    *each(WMS, values("VERSION", "1.1.1", "1.3.0"), values("REQUEST", *_DOCUMENTS)),
    *each(WMS, values("VERSION", "1.0.0", "1.3", "", "nonsense"), values("REQUEST", "GetCapabilities")),
    ows(WMS, REQUEST="GetCapabilities"),
    ows(WMS, REQUEST="GetCapabilities", project="survey", note="no suffix").but(
        target="/ows/?MAP=survey.qgs&SERVICE=wms&REQUEST=getcapabilities"
    ),
    *each(V130, values("REQUEST", "GetCapabilities", "GetProjectSettings"), project="world.qgs"),
    *each(
        V111,
        values("REQUEST", "GetStyles", "DescribeLayer", "GetStyle"),
        values("LAYERS", "areas", "points,areas"),
    ),
    *each(
        V130,
        values("REQUEST", "GetStyles", "DescribeLayer"),
        values("LAYERS", "no_such_layer", "Straßen & Wege"),
    ),
    ows(V130, REQUEST="DescribeLayer", LAYERS="areas", SLD_VERSION="1.1.0"),
    *each(V130, values("REQUEST", "GetNothing", "", "getmap ")),
    ows(V130),
    ows(WMS),
    *each(MAP_130, values("FORMAT", *_IMAGES)),
    *each(MAP_111, values("FORMAT", *_IMAGES)),
    *[ows(MAP_130, odd) for odd in _MAPS_ODD],
    *[ows(DXF, odd) for odd in _DXF_ODD],
    *each(INFO, values("INFO_FORMAT", *_INFO_FORMATS)),
    *each(
        MAP_111 | {"REQUEST": "GetFeatureInfo", "QUERY_LAYERS": "areas", "X": 15, "Y": 85},
        values("INFO_FORMAT", *_INFO_FORMATS),
    ),
    *[ows(INFO, odd) for odd in _INFO_ODD],
    *[ows(LEGEND, odd) for odd in _LEGENDS],
    *[ows(PRINT, odd) for odd in _PRINTS],
    *each(
        _WORLD_MAP, values("FORMAT", "image/png", "image/jpeg"), values("DPI", 96, 180), project="world.qgs"
    ),
    ows(_WORLD_MAP, LAYERS="coast_distance", STYLES="signed", project="world.qgs"),
]
