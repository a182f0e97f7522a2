# SPDX-License-Identifier: GPL-2.0-or-later
"""What a proxy reads of an OWS request."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qgsd.proxy import ows

FORM = "application/x-www-form-urlencoded"


def test_names_in_any_case_values_as_they_are() -> None:
    read = ows.read("GET", "mAp=Town/A&Service=WMS&request=GetMap", "", b"")
    assert (read.map, read.service, read.operation, read.idempotent) == ("Town/A", "WMS", "GetMap", True)


def test_plus_and_percent_are_decoded_and_the_first_value_counts() -> None:
    assert ows.fields_of("MAP=a+b%2Fc&map=&MAP=other") == {"MAP": "a b/c"}


def test_a_form_fills_in_what_the_query_lacks() -> None:
    read = ows.read("POST", "MAP=a", FORM + "; charset=utf-8", b"MAP=b&SERVICE=WMS&REQUEST=GetMap")
    assert (read.map, read.service, read.operation, read.idempotent) == ("a", "WMS", "GetMap", True)


@pytest.mark.parametrize(
    ("body", "operation", "idempotent"),
    [
        (b'<GetFeature service="WFS"/>', "GetFeature", True),
        (
            b'<?xml version="1.0"?>\n<!-- <Transaction/> is not meant --><wfs:GetFeature service="WFS"/>',
            "GetFeature",
            True,
        ),
        (b'<wfs:Transaction service="WFS"><wfs:Insert/></wfs:Transaction>', "Transaction", False),
        (b"<LockFeature/>", "LockFeature", False),
        (b"<Unheard/>", "Unheard", False),
        (b"no xml at all", "", False),
    ],
)
def test_an_xml_body_says_what_it_does(body: bytes, operation: str, idempotent: bool) -> None:
    read = ows.read("POST", "MAP=a", "text/xml", body)
    assert (read.operation, read.idempotent) == (operation, idempotent)


def test_the_body_counts_more_than_the_query() -> None:
    body = b"<Transaction/>"
    assert not ows.read("POST", "MAP=a&REQUEST=GetFeature", "text/xml", body).idempotent
    assert not ows.read("GET", "MAP=a&REQUEST=Transaction", "", b"").idempotent


@pytest.mark.parametrize("query", ["MAP=%ff%fe", "&".join(f"a{n}=1" for n in range(2000))])
def test_what_cannot_be_read_is_malformed(query: str) -> None:
    with pytest.raises(ows.MalformedRequest):
        ows.fields_of(query)


@given(
    st.sampled_from(["GET", "POST", "HEAD"]),
    st.text(max_size=100),
    st.text(max_size=30),
    st.binary(max_size=200),
)
def test_any_request_is_read_or_malformed(method: str, query: str, content_type: str, body: bytes) -> None:
    with contextlib.suppress(ows.MalformedRequest):
        assert ows.read(method, query, content_type, body)
        assert ows.read(method, query, FORM, body)


@given(st.binary(max_size=300))
def test_no_post_that_may_write_is_ever_repeated(body: bytes) -> None:
    read = ows.read("POST", "", "text/xml", b"<Transaction>" + body)
    assert not read.idempotent
