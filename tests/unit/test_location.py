# SPDX-License-Identifier: GPL-2.0-or-later
"""What MAP may say, and that nothing it says leads out of the root."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from qgsd.location import Location, LocationError, parse_map


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
    "geopackage:/a.gpkg?projectName=p", "http://example.org/p.qgs", "HTTPS://example.org/p", "https:x",
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
