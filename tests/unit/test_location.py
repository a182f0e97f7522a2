# SPDX-License-Identifier: GPL-2.0-or-later
"""What MAP may say, and that nothing it says leads out of the root."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from qgsd.location import Alias, Location, LocationError, Rules, parse_map


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("world", "world"), ("world.qgs", "world.qgs"), ("a/b/c.qgz", "a/b/c.qgz"), ("./world", "world"),
        ("a//b", "a/b"), ("a/./b", "a/b"), ("world/", "world"), ("a/../world", "world"),
        ("file:world", "world"), ("FILE:world", "world"), ("file:./world", "world"),
        ("/srv/maps/world.qgs", "/srv/maps/world.qgs"), ("file:///srv/world", "/srv/world"),
        ("//srv/world", "/srv/world"), ("/../../srv/world", "/srv/world"),
        ("straße/süd karte", "straße/süd karte"), ("..world", "..world"), ("a..b/c", "a..b/c"),
        (".hidden/world", ".hidden/world"), ("...", "..."), (". ./world", ". ./world"),
        (".. /world", ".. /world"),
        ("~/world", "~/world"), ("~root/world", "~root/world"), ("$HOME/world", "$HOME/world"),
        ("a?b=c#d", "a?b=c#d"), ("a;rm -rf", "a;rm -rf"), ("a|b", "a|b"), ("1:2", "1:2"), ("a/b:c", "a/b:c"),
        # MAP is decoded once, before it comes here: what is still encoded is a name like any other.
        ("%2e%2e/world", "%2e%2e/world"), ("..%2fworld", "..%2fworld"), ("%00", "%00"),
        ("\u2025/world", "\u2025/world"), ("\uff0e\uff0e/world", "\uff0e\uff0e/world"),
        ("..\u2215world", "..\u2215world"),
        ("é" * 125, "é" * 125), ("x" * 251, "x" * 251),
    ],
)  # fmt: skip
def test_a_name_has_one_spelling(value: str, key: str) -> None:
    assert parse_map(value) == Location(key)
    assert parse_map(value).key == key


CLIMBING = [
    "..", "../", "../world", "../../etc/passwd", "a/../../world", "./../world", ".//..//world",
    "a/b/../../../world",
    "a/../..", "file:..", "file:../world", "file:a/../../b", "FILE:./../x", "../" * 30 + "etc/passwd",
    "..\\world", "a\\..\\..\\b", "\\\\host\\share\\p.qgs", "\\\\?\\C:\\p.qgs", "\\", "file:\\\\host\\p",
    "a\\b",
]  # fmt: skip
ELSEWHERE = [
    "postgresql:?dbname=x", "postgresql://user:secret@host/db?project=p", "postgres:x",
    "http://example.org/p.qgs", "HTTPS://example.org/p", "https:x",
    "ftp://example.org/p", "ftps://example.org/p", "s3://bucket/p", "S3:p",
]  # fmt: skip
MALFORMED = [
    "", " ", "   ", "\u00a0", "\t", "\n", "\r\n", "\x00", "world\x00.qgs", "world\x00../../etc", "a\nb",
    "a\rb", "a\tb",
    "\x1b[31mred", "\x7f", "\x80world", "\x85", "a\u00a0b", "\u202eworld", "\u200bworld", "\ufeffworld",
    "a\u2028b",
    "\ud800", "\udcff/world", "\ue000", "x" * 5000, "../" * 2000, "a/" * 2100, "é" * 2500, "é" * 126,
    "a/" + "x" * 300,
    "x" * 252 + "/world",
]  # fmt: skip
NOTHING = [
    ".", "/", "./", "././.", "//", "///", "a/..", "/..", "/../..", "file:", "file:/", "file://",
    "FILE:.", "foo:bar",
    "C:\\maps\\p.qgs", "c:/maps/p.qgs", "C:", "data:text/xml,<qgis/>", "javascript:alert(1)",
    "zip:/a.zip", "x-y.z+1:a",
]  # fmt: skip
HOSTILE = [
    *((value, 403, "outside_root") for value in CLIMBING),
    *((value, 403, "scheme_not_allowed") for value in ELSEWHERE),
    *((value, 400, "no_map" if not value.strip() else "bad_map") for value in MALFORMED),
    *((value, 404, None) for value in NOTHING),
]


def test_the_table_is_large_enough() -> None:
    assert len({value for value, _, _ in HOSTILE}) == len(HOSTILE) >= 40


@pytest.mark.parametrize(("value", "status", "code"), HOSTILE)
def test_hostile_values_are_refused(value: str, status: int, code: str | None) -> None:
    with pytest.raises(LocationError) as refused:
        parse_map(value)
    error = refused.value
    assert error.status == status
    assert error.code == code or (code is None and error.code in ("no_project", "unknown_scheme"))
    assert error.message == str(error)
    assert error.message


@pytest.mark.parametrize(
    "value", ["postgresql://user:secret@host/db", "foo:secret", "../secret", "C:\\secret"]
)
def test_a_refusal_does_not_repeat_what_it_refuses(value: str) -> None:
    with pytest.raises(LocationError) as refused:
        parse_map(value)
    assert "secret" not in refused.value.message


PIECES = st.sampled_from(
    ["..", ".", "/", "//", "\\", "file:", "FILE:", "http:", "C:", "a", "b c", "%2e", "\x00", "~", "é", " "]
)
VALUES = st.text(max_size=60) | st.lists(PIECES, max_size=12).map("".join)


def parsed_or_refused(value: str) -> Location | LocationError:
    try:
        return parse_map(value)
    except LocationError as refused:
        return refused


@given(VALUES)
@example("file:file:../x")
@example("file:/../x")
@example("/" * 4096)
@settings(max_examples=300, deadline=None)
def test_whatever_is_said_nothing_climbs_out(value: str) -> None:
    parsed = parsed_or_refused(value)
    if isinstance(parsed, LocationError):
        event(f"refused with {parsed.status}")
        assert parsed.status in (400, 403, 404)
        return
    path = parsed.path
    event("absolute" if path.startswith("/") else "relative")
    normal = posixpath.normpath(path)
    assert path == normal
    assert not normal.startswith("//")
    assert ".." not in path.split("/")
    assert normal not in (".", "/", "")
    assert path.isprintable()
    assert "\\" not in path
    beneath = posixpath.normpath(posixpath.join("/root", path.lstrip("/")))
    assert beneath.startswith("/root/")


@given(st.lists(st.text("abc .é", min_size=1, max_size=6), min_size=1, max_size=5))
@settings(deadline=None)
def test_an_ordinary_path_is_served_under_one_key(names: list[str]) -> None:
    names = [name for name in names if name not in (".", "..") and name.strip()] or ["a"]
    wanted = "/".join(names)
    spellings = [wanted, "./" + wanted, "//".join(names), "x/../" + wanted, "file:" + wanted, wanted + "/"]
    assert {parse_map(spelling).key for spelling in spellings} == {wanted}


# Schemes of stores, and aliases.

ALIASES = {
    "maps": "file:/srv/maps/",
    "near": "file:near/by/",
    "tpl": "file:/srv/{path}/main.qgs",
    "pg": "postgresql://me:secret@db.example:5433?dbname=gis&schema=public",
    "svc": "postgres:?service=gis&schema=s&project={path}",
    "many": "postgresql:?service=gis&dbname={path}",
    "fixed": "postgresql:?service=gis&project=only",
    "gp": "geopackage:/srv/data.gpkg",
    "gpdir": "geopackage:/srv/gp/",
    "further": "s3store:bucket/",
}
RULES = Rules(
    aliases={name: Alias.parse(url) for name, url in ALIASES.items()}, further=frozenset({"s3store"})
)


@pytest.mark.parametrize(
    ("value", "key", "path", "project"),
    [
        ("maps:town", "maps:town", "/srv/maps/town", ""),
        ("MAPS:a/../b", "maps:b", "/srv/maps/b", ""),
        ("maps:/srv/maps/town", "maps:/srv/maps/town", "/srv/maps/town", ""),
        ("near:town", "near:town", "near/by/town", ""),
        ("tpl:town", "tpl:town", "/srv/town/main.qgs", ""),
        ("pg:town", "pg:town", "", "town"), ("pg:?project=town", "pg:town", "", "town"),
        ("pg:/town/", "pg:town", "", "town"), ("pg:///town", "pg:town", "", "town"),
        ("svc:town", "svc:town", "", "town"), ("svc:town?project=other", "svc:town", "", "town"),
        ("many:city?project=a%26b", "many:city?project=a%26b", "", "a&b"),
        ("fixed:", "fixed:", "", "only"), ("fixed:x?project=y", "fixed:", "", "only"),
        ("gp:town", "gp:town", "/srv/data.gpkg", "town"),
        ("gp:?projectName=town", "gp:town", "/srv/data.gpkg", "town"),
        ("gpdir:a.gpkg?project=town", "gpdir:a.gpkg?project=town", "/srv/gp/a.gpkg", "town"),
        ("further:x/y", "further:x/y", "bucket/x/y", ""), ("s3store:z", "s3store:z", "z", ""),
        ("geopackage:a.gpkg?projectName=p q", "geopackage:a.gpkg?project=p q", "a.gpkg", "p q"),
        ("file:maps:town", "file:maps:town", "maps:town", ""),
    ],
)  # fmt: skip
def test_a_scheme_stands_for_a_place(value: str, key: str, path: str, project: str) -> None:
    located = RULES.locate(value)
    assert located.key == key
    assert Location.from_key(key) == located
    assert RULES.locate(key) == located
    place = RULES.expand(located)
    assert (place.path, place.project) == (path, project)
    assert "secret" not in key


def test_what_an_alias_says_wins_over_the_client() -> None:
    place = RULES.expand(RULES.locate("pg:town"))
    assert (place.scheme, place.authority) == ("postgresql", "me:secret@db.example:5433")
    assert place.parameters == (("dbname", "gis"), ("schema", "public"))
    assert RULES.expand(RULES.locate("many:city?project=p")).parameters == (
        ("service", "gis"),
        ("dbname", "city"),
    )


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("maps:../etc/passwd", 403), ("maps:/etc/passwd", 403), ("maps:/srv/mapsx/town", 403), ("maps:", 404),
        ("maps:..", 403), ("near:/etc/passwd", 403), ("near:../../x", 403), ("tpl:../x", 403), ("tpl:/", 404),
        ("pg://evil@host/town", 403), ("pg://me:pw@host?project=x", 403), ("pg:town?host=evil", 403),
        ("pg:town?dbname=other", 403), ("pg:town?schema=other", 403), ("pg:town?service=x", 403),
        ("pg:town?authcfg=x", 403), ("pg:town?options=-csearch_path=x", 403), ("pg:", 404),
        ("pg:?project=", 404), ("many:?project=p", 404),
        ("pg:?project=a&project=b", 400), ("pg:?project=%00", 400), ("pg:?project=%ff", 400), ("pg:?x", 400),
        ("gp:?projectName=a&layer=b", 403), ("gpdir:../x.gpkg?project=p", 403),
        ("further:../x", 403), ("further://host/x", 403), ("s3store:a?key=b", 403),
        ("geopackage:a.gpkg", 404),
        ("geopackage:?project=p", 404), ("geopackage://host/a.gpkg?project=p", 403),
        ("geopackage:../a.gpkg?project=p", 403), ("postgresql:?service=gis&project=p", 403),
        ("postgres://host?project=p", 403), ("gis:town", 404),
    ],
)  # fmt: skip
def test_what_a_client_must_not_say(value: str, status: int) -> None:
    with pytest.raises(LocationError) as refused:
        RULES.expand(RULES.locate(value))
    assert refused.value.status == status
    assert "secret" not in refused.value.message


def test_insecure_lets_clients_name_databases_but_no_passwords() -> None:
    rules = Rules(insecure=True)
    asked = "postgresql://me@db:5432?dbname=gis&schema=s&project=p"
    located = rules.locate(asked)
    assert (located.authority, located.project) == ("me@db:5432", "p")
    assert located.parameters == (("dbname", "gis"), ("schema", "s"))
    assert Location.from_key(located.key) == located
    for value in ("postgresql://me:pw@db?project=p", "postgresql://db?password=pw&project=p",
                  "postgresql://db?options=x&project=p"):  # fmt: skip
        with pytest.raises(LocationError) as refused:
            rules.locate(value)
        assert refused.value.status == 403


def test_stores_that_are_not_allowed_are_not_reached_by_an_alias() -> None:
    rules = Rules(aliases=RULES.aliases, allowed=frozenset({"postgresql"}))
    assert rules.locate("pg:town").key == "pg:town"
    for value in ("town", "maps:town", "gp:town"):
        with pytest.raises(LocationError) as refused:
            rules.locate(value)
        assert refused.value.status == 403


def test_a_map_without_a_scheme_may_mean_another_store() -> None:
    rules = Rules(aliases=RULES.aliases, default="pg")
    assert [rules.locate(value).key for value in ("town", "file:town")] == ["pg:town", "town"]


@pytest.mark.parametrize(
    "url", ["", "maps", "http://x/", "file:/srv/maps", "file://host/srv/", "file:/srv/?a=b", "postgresql:?a",
            "postgresql://{path}/?project=x"],
)  # fmt: skip
def test_an_alias_must_be_the_url_of_a_store(url: str) -> None:
    with pytest.raises(ValueError, match=r"not|must|neither"):
        Alias.parse(url)
