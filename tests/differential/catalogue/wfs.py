# SPDX-License-Identifier: GPL-2.0-or-later
"""WFS 1.0.0 and 1.1.0, reading: by address and by posted XML."""

from __future__ import annotations

from tests.differential.ask import Ask, each, ows, post, values

WFS = {"SERVICE": "WFS"}
V100 = WFS | {"VERSION": "1.0.0"}
V110 = WFS | {"VERSION": "1.1.0"}
GET_100 = V100 | {"REQUEST": "GetFeature", "TYPENAME": "areas"}
GET_110 = V110 | {"REQUEST": "GetFeature", "TYPENAME": "points"}

_VERSIONS = values("VERSION", "1.0.0", "1.1.0")
_FORMATS = [
    "GML2", "GML3", "gml3", "XMLSCHEMA", "application/json", "GeoJSON", "application/vnd.geo+json",
    "application/geo+json", "text/xml; subtype=gml/2.1.2", "text/xml; subtype=gml/3.1.1", "nonsense",
]  # fmt: skip


def _filter(inside: str) -> str:
    return (
        f'<Filter xmlns="http://www.opengis.net/ogc" xmlns:gml="http://www.opengis.net/gml">{inside}</Filter>'
    )


def _compare(operator: str, name: str, literal: str) -> str:
    return f"<{operator}><PropertyName>{name}</PropertyName><Literal>{literal}</Literal></{operator}>"


_BOX = (
    "<BBOX><PropertyName>geometry</PropertyName><gml:Envelope srsName='EPSG:4326'><gml:lowerCorner>0 0"
    "</gml:lowerCorner><gml:upperCorner>4 4</gml:upperCorner></gml:Envelope></BBOX>"
)
_LIKE = (
    '<PropertyIsLike wildCard="*" singleChar="?" escapeChar="!"><PropertyName>name</PropertyName>'
    "<Literal>Ort 1*</Literal></PropertyIsLike>"
)
_FILTERS = [
    _compare("PropertyIsEqualTo", "name", "Ort 7 – é漢"),
    _compare("PropertyIsGreaterThan", "größe", "20"),
    "<And>" + _compare("PropertyIsLessThan", "count", "9000000000") + _LIKE + "</And>",
    "<Not>" + _LIKE + "</Not>",
    "<PropertyIsNull><PropertyName>day</PropertyName></PropertyIsNull>",
    _BOX,
    '<FeatureId fid="points.3"/><FeatureId fid="points.4"/>',
    "<nonsense/>",
    _compare("PropertyIsEqualTo", "no_such_field", "1"),
]

_ODD = [
    {"MAXFEATURES": 3},
    {"MAXFEATURES": 0},
    {"MAXFEATURES": "many"},
    {"STARTINDEX": 5, "MAXFEATURES": 5},
    {"STARTINDEX": 1000},
    {"STARTINDEX": -1},
    {"COUNT": 3},
    {"RESULTTYPE": "hits"},
    {"RESULTTYPE": "nonsense"},
    {"PROPERTYNAME": "name"},
    {"PROPERTYNAME": "name,größe,geometry"},
    {"PROPERTYNAME": "no_such_field"},
    {"PROPERTYNAME": "*"},
    {"BBOX": "0,0,4,4"},
    {"BBOX": "0,0,400000,400000,EPSG:3857"},
    {"BBOX": "nonsense"},
    {"SRSNAME": "EPSG:3857"},
    {"SRSNAME": "EPSG:32632", "OUTPUTFORMAT": "GeoJSON"},
    {"SRSNAME": "urn:ogc:def:crs:EPSG::4326"},
    {"SRSNAME": "nonsense"},
    {"SORTBY": "name"},
    {"SORTBY": "größe D"},
    {"SORTBY": "no_such_field"},
    {"EXP_FILTER": "\"name\" = 'Ort 1 – é漢'"},
    {"EXP_FILTER": '"count" > 5000000000'},
    {"EXP_FILTER": "nonsense ( ="},
    {"GEOMETRYNAME": "extent"},
    {"GEOMETRYNAME": "centroid"},
    {"GEOMETRYNAME": "none", "OUTPUTFORMAT": "GeoJSON"},
    {"FEATUREID": "points.1,points.2"},
    {"FEATUREID": "points.1", "TYPENAME": None},
    {"FEATUREID": "nonsense"},
    {"FEATUREID": "points.9999"},
    {"TYPENAME": "points,lines"},
    {"TYPENAME": "Straßen_&_Wege"},
    {"TYPENAME": "Straßen & Wege"},
    {"TYPENAME": "notes"},
    {"TYPENAME": "notes", "OUTPUTFORMAT": "GeoJSON"},
    {"TYPENAME": "relief"},
    {"TYPENAME": "no_such_layer"},
    {"TYPENAME": ""},
    {"TYPENAME": None},
    {"TYPENAMES": "areas", "TYPENAME": None},
    {"VERSION": "2.0.0"},
    {"VERSION": "nonsense"},
    {"VERSION": None},
    {"CALLBACK": "alert", "OUTPUTFORMAT": "GeoJSON"},
]  # fmt: skip

_XML_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_SPACES = 'xmlns:wfs="http://www.opengis.net/wfs" xmlns:ogc="http://www.opengis.net/ogc"'


def _xml(version: str, inside: str, attributes: str = "", operation: str = "GetFeature") -> str:
    return (
        f'{_XML_HEAD}<wfs:{operation} service="WFS" version="{version}" {attributes} {_SPACES}>{inside}'
        f"</wfs:{operation}>"
    )


def _query(name: str, inside: str = "", attributes: str = "") -> str:
    return f'<wfs:Query typeName="{name}" {attributes}>{inside}</wfs:Query>'


_OGC_FILTER = (
    "<ogc:Filter><ogc:PropertyIsEqualTo><ogc:PropertyName>kind</ogc:PropertyName><ogc:Literal>2</ogc:Literal>"
    "</ogc:PropertyIsEqualTo></ogc:Filter>"
)
_POSTS = [
    post(_xml("1.0.0", "", operation="GetCapabilities")),
    post(_xml("1.1.0", "", operation="GetCapabilities")),
    post(_xml("1.0.0", "<wfs:TypeName>areas</wfs:TypeName>", operation="DescribeFeatureType")),
    post(_xml("1.1.0", "", operation="DescribeFeatureType")),
    post(_xml("1.0.0", _query("areas"))),
    post(_xml("1.1.0", _query("points"), 'maxFeatures="4"')),
    post(_xml("1.1.0", _query("points"), 'maxFeatures="4" startIndex="3"')),
    post(_xml("1.1.0", _query("points"), 'outputFormat="GeoJSON"')),
    post(_xml("1.1.0", _query("points"), 'outputFormat="GML2"')),
    post(_xml("1.1.0", _query("points"), 'resultType="hits"')),
    post(_xml("1.1.0", _query("areas", _OGC_FILTER))),
    post(_xml("1.1.0", _query("areas", _OGC_FILTER) + _query("lines"))),
    post(_xml("1.1.0", _query("areas", "<wfs:PropertyName>name</wfs:PropertyName>"))),
    post(_xml("1.1.0", _query("areas", attributes='srsName="EPSG:3857"'))),
    post(_xml("1.1.0", _query("no_such_layer"))),
    post(_xml("1.1.0", "", operation="GetNothing")),
    post(_xml("1.1.0", _query("points")).replace('service="WFS"', "")),
    post(_xml("1.1.0", _query("points"))[:-20], note="cut off"),
    post("<nonsense/>"),
    post("this is no XML"),
    post("", note="empty"),
]

ASKS: list[Ask] = [
    *each(WFS, _VERSIONS, values("REQUEST", "GetCapabilities", "DescribeFeatureType", "GetNothing")),
    *each(WFS | {"REQUEST": "GetCapabilities"}, values("VERSION", "2.0.0", "nonsense", "")),
    ows(WFS, REQUEST="GetCapabilities"),
    ows(WFS, REQUEST="GetCapabilities", ACCEPTVERSIONS="1.0.0"),
    ows(WFS),
    *each(
        WFS, values("VERSION", "1.0.0", "1.1.0"), values("REQUEST", "GetCapabilities"), project="world.qgs"
    ),
    *each(
        WFS | {"REQUEST": "DescribeFeatureType"},
        _VERSIONS,
        values("TYPENAME", "points", "areas,lines", "notes", "no_such_layer"),
        values("OUTPUTFORMAT", "XMLSCHEMA"),
    ),
    ows(V110, REQUEST="DescribeFeatureType", TYPENAME="points", OUTPUTFORMAT="text/xml; subtype=gml/3.1.1"),
    ows(V110, REQUEST="DescribeFeatureType", TYPENAME="points", OUTPUTFORMAT="nonsense"),
    *each(GET_100, values("OUTPUTFORMAT", *_FORMATS)),
    *each(GET_110, values("OUTPUTFORMAT", *_FORMATS)),
    *each(V110 | {"REQUEST": "GetFeature"}, values("TYPENAME", "points", "lines", "areas", "notes")),
    *[ows(GET_110, odd) for odd in _ODD],
    *[ows(GET_110, FILTER=_filter(inside)) for inside in _FILTERS],
    *each(
        V110 | {"REQUEST": "GetFeature"},
        values("TYPENAME", "countries", "places", "coastline"),
        values("OUTPUTFORMAT", "GML2", "GML3", "GeoJSON"),
        project="world.qgs",
    ),
    *_POSTS,
    ows(GET_110, TYPENAME="hollow", project="hollow.qgs"),
    ows(GET_110, TYPENAME="hollow", OUTPUTFORMAT="GeoJSON", project="hollow.qgs").but(crashes=True),
]
