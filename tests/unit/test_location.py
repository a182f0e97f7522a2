# SPDX-License-Identifier: GPL-2.0-or-later
"""What MAP may say."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qgsd.location import LocationError, parse_map


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("world", "world"), ("world.qgs", "world.qgs"), ("a/b/c.qgz", "a/b/c.qgz"), ("./world", "world"),
        ("a//b", "a/b"), ("a/../world", "world"), ("file:world", "world"), ("FILE:world", "world"),
        ("/srv/maps/world.qgs", "/srv/maps/world.qgs"), ("file:///srv/world", "/srv/world"),
        ("straße/süd karte", "straße/süd karte"), ("..world", "..world"), ("a..b/c", "a..b/c"),
    ],
)  # fmt: skip
def test_a_name_has_one_spelling(value: str, key: str) -> None:
    assert parse_map(value).key == key


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("", 400), ("   ", 400), ("\x00", 400), ("world\x00.qgs", 400), ("a\nb", 400), ("a\tb", 400),
        ("\x7f", 400),
        ("\u202eworld", 400), ("x" * 5000, 400), ("../" * 2000, 400), ("\ud800", 400),
        ("..", 403), ("../world", 403), ("../../etc/passwd", 403), ("a/../../world", 403),
        ("./../world", 403),
        ("a/b/../../../world", 403), ("file:..", 403), ("file:../world", 403), ("file:a/../../b", 403),
        ("..\\world", 403), ("a\\..\\..\\b", 403), ("\\\\host\\share\\p.qgs", 403), ("C:\\maps\\p.qgs", 404),
        (".", 404), ("/", 404), ("./", 404), ("//", 404), ("///", 404), ("file:", 404), ("file:/", 404),
        ("postgresql:?dbname=x", 403), ("postgresql://user:secret@host/db?project=p", 403),
        ("postgres:x", 403),
        ("geopackage:/a.gpkg?projectName=p", 403), ("http://example.org/p.qgs", 403), 
        ("HTTPS://example.org/p", 403),
        ("ftp://example.org/p", 403), ("s3://bucket/p", 403), ("foo:bar", 404), ("c:/maps/p.qgs", 404),
        ("data:text/xml,<qgis/>", 404), ("javascript:alert(1)", 404), ("zip:/a.zip", 404),
    ],
)  # fmt: skip
def test_hostile_values_are_refused(value: str, status: int) -> None:
    with pytest.raises(LocationError) as refused:
        parse_map(value)
    assert refused.value.status == status
    assert refused.value.message


@given(st.text(max_size=200))
def test_whatever_is_said_nothing_climbs_out(value: str) -> None:
    try:
        path = parse_map(value).path
    except LocationError:
        return
    assert path == posixpath.normpath(path)
    assert not path.startswith("../")
    assert path not in ("..", ".", "/")
    assert posixpath.join("/root", path.lstrip("/")) == posixpath.normpath(
        posixpath.join("/root", path.lstrip("/"))
    )
