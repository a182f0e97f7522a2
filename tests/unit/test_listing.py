# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages of the list of projects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qgsd.proxy.catalog import CatalogEntry
from qgsd.proxy.http.listing import PAGE, as_json, listing, service_links
from qgsd.proxy.project_text import About


def entry(name: str, title: str = "", abstract: str = "", layers: tuple[str, ...] = ()) -> CatalogEntry:
    return CatalogEntry(name, title or name, About(abstract=abstract, layers=layers))


@given(st.integers(0, 200), st.integers(-5, 50))
def test_the_pages_together_have_every_project_once(count: int, wanted: int) -> None:
    entries = [entry(str(number)) for number in range(count)]
    pages = listing(entries).pages
    shown = [one for page in range(1, pages + 1) for one in listing(entries, page=page).entries]
    assert shown == entries
    asked = listing(entries, page=wanted)
    assert 1 <= asked.page <= asked.pages
    assert len(asked.entries) <= PAGE
    assert (asked.found, asked.total) == (count, count)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", ["town/a", "b", "c"]),
        ("TOWN", ["town/a", "b"]),
        ("town sewers", ["b"]),
        ("straße", ["c"]),
        ("nothing", []),
    ],
)
def test_a_search_wants_all_words_somewhere(search: str, found: list[str]) -> None:
    entries = [entry("town/a"), entry("b", "Our Town", layers=("Sewers",)), entry("c", abstract="STRASSE")]
    assert [one.map for one in listing(entries, search).entries] == found


def test_addresses_of_pages_keep_the_search() -> None:
    shown = listing([entry(f"a&b {number}") for number in range(60)], "a&b", 2)
    assert [shown.address(page) for page in (1, 3)] == ["?q=a%26b", "?q=a%26b&page=3"]
    assert listing([]).address(1) == "./"


def test_links_of_a_name_that_needs_quoting() -> None:
    one = entry("c d/é&")
    assert service_links(one)["WMS"] == "ows/?MAP=c%20d/%C3%A9%26&SERVICE=WMS&REQUEST=GetCapabilities"
    assert as_json(one)["links"]["ogcapi"] == "/wfs3/?MAP=c%20d/%C3%A9%26"
