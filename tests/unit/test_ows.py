# SPDX-License-Identifier: GPL-2.0-or-later
"""What a proxy reads of an OWS request, and that it never repeats what may write."""

from __future__ import annotations

import contextlib
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qgsd.proxy import ows

FORM = "application/x-www-form-urlencoded"
READS = [
    "GetCapabilities", "GetMap", "GetFeature", "GetFeatureInfo", "GetPrint", "GetCoverage", "getmap",
]  # fmt: skip
WRITES = ["Transaction", "LockFeature", "GetFeatureWithLock", "TRANSACTION", "transaction"]


# The fields.


def test_names_in_any_case_values_as_they_are() -> None:
    read = ows.read("GET", "mAp=Town/A&Service=WMS&request=GetMap", "", b"")
    assert read == ows.OwsRequest("Town/A", "WMS", "GetMap", True)


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("", {}),
        ("MAP", {"MAP": ""}),
        ("MAP=", {"MAP": ""}),
        ("MAP=a+b%2Fc", {"MAP": "a b/c"}),
        ("MAP=first&map=second", {"MAP": "second"}),
        ("MAP=first&map=", {"MAP": ""}),
        ("LAYERS=%ff", {"LAYERS": "\N{REPLACEMENT CHARACTER}"}),
        ("a=1;REQUEST=GetMap", {"A": "1;REQUEST=GetMap"}),
        ("a=b=c&&x=%26", {"A": "b=c", "X": "&"}),
        ("m%61p=%C3%BC", {"MAP": "ü"}),
        ("MAP=%252e%252e/x", {"MAP": "%2e%2e/x"}),
    ],
)
def test_plus_and_percent_are_decoded_once_and_the_last_value_counts(
    query: str, fields: dict[str, str]
) -> None:
    assert ows.fields_of(query) == fields


@given(st.dictionaries(st.text("ABCxyz_ü", min_size=1, max_size=8), st.text(max_size=20), max_size=6))
def test_what_a_client_encodes_is_what_is_read(said: dict[str, str]) -> None:
    wanted: dict[str, str] = {}
    for name, value in said.items():
        wanted[name.upper()] = value
    assert ows.fields_of(urlencode(said)) == wanted


@pytest.mark.parametrize(
    "query",
    ["MAP=%ff%fe", "MAP=%c0%ae%c0%ae/x", "MAP=%ed%a0%80", "&".join(f"a{n}=1" for n in range(2000))],
)
def test_what_cannot_be_read_is_malformed(query: str) -> None:
    with pytest.raises(ows.MalformedRequest, match=r"cannot be read|not UTF-8"):
        ows.fields_of(query)
    with pytest.raises(ows.MalformedRequest):
        ows.read("GET", query, "", b"")


@pytest.mark.parametrize(
    "body", [b"MAP=\xff", b"MAP=%ff", b"&".join(b"a%d=" % number for number in range(2000))]
)
def test_a_form_that_cannot_be_read_is_malformed(body: bytes) -> None:
    with pytest.raises(ows.MalformedRequest):
        ows.read("POST", "REQUEST=GetMap", FORM, body)


@pytest.mark.parametrize("content_type", [FORM, FORM.upper(), f" {FORM} ; charset=utf-8"])
def test_a_form_counts_more_than_the_query(content_type: str) -> None:
    read = ows.read("POST", "MAP=a&SERVICE=", content_type, b"MAP=b&SERVICE=WMS&REQUEST=GetMap")
    assert read == ows.OwsRequest("b", "WMS", "GetMap", True)


@pytest.mark.parametrize("content_type", ["", "text/plain", "text/xml"])
def test_a_form_by_another_name_is_read_but_not_repeated(content_type: str) -> None:
    read = ows.read("POST", "MAP=a", content_type, b"MAP=b&SERVICE=WMS&REQUEST=GetMap")
    assert read == ows.OwsRequest("b", "WMS", "GetMap", False)


def test_the_body_of_a_get_says_nothing() -> None:
    assert ows.read("GET", "REQUEST=GetMap", FORM, b"REQUEST=Transaction") == ows.OwsRequest(
        "", "", "GetMap", True
    )


# XML.


@pytest.mark.parametrize(
    ("body", "operation", "service", "idempotent"),
    [
        (b'<GetFeature service="WFS"/>', "GetFeature", "WFS", True),
        (b'\xef\xbb\xbf<GetFeature service="WFS"/>', "GetFeature", "WFS", True),
        (b"<GetFeature><broken", "GetFeature", "", True),
        (b'<?xml version="1.0"?>\n<!-- <Transaction/> --><wfs:GetFeature/>', "GetFeature", "", True),
        (b"<wfs:Transaction><wfs:Insert/></wfs:Transaction>", "Transaction", "", False),
        (b"<LockFeature/>", "LockFeature", "", False),
        (b'<GetFeature request="Transaction"/>', "GetFeature", "", False),
        (b"<Unheard/>", "Unheard", "", False),
        (b"no xml at all", "", "", False),
        ("<GetFeature/>".encode("utf-16"), "GetFeature", "", True),
        (b'<!DOCTYPE r [<!ENTITY a "WFS">]><GetFeature service="&a;"/>', "", "", False),
    ],
)  # fmt: skip
def test_an_xml_body_says_what_it_does(body: bytes, operation: str, service: str, idempotent: bool) -> None:
    assert ows.read("POST", "MAP=a", "text/xml", body) == ows.OwsRequest("a", service, operation, idempotent)


def test_entities_are_not_unfolded() -> None:
    levels = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 9))
    body = f'<!DOCTYPE r [<!ENTITY a0 "{"x" * 100}">{levels}]><GetFeature service="&a3;"/>'
    assert ows.read("POST", "", "text/xml", body.encode()).service == ""


# Nothing that may write is ever repeated.


@pytest.mark.parametrize("name", READS)
def test_what_reads_may_be_repeated(name: str) -> None:
    assert ows.read("GET", f"REQUEST={name}", "", b"").idempotent
    assert ows.read("HEAD", f"REQUEST={name}", "", b"").idempotent
    assert ows.read("POST", f"REQUEST={name}", "", b"").idempotent
    assert ows.read("POST", "", FORM, f"REQUEST={name}".encode()).idempotent
    assert ows.read("POST", "", "text/xml", f"<{name}/>".encode()).idempotent


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "get", ""])
def test_other_methods_are_never_repeated(method: str) -> None:
    assert not ows.read(method, "REQUEST=GetMap", "", b"").idempotent


def test_a_post_that_names_no_operation_is_not_repeated() -> None:
    assert not ows.read("POST", "", "", b"").idempotent
    assert not ows.read("POST", "SERVICE=WFS", FORM, b"a=b").idempotent


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    ("method", "query", "kind", "body"),
    [
        ("GET", "REQUEST={}", "", ""),
        ("GET", "REQUEST=GetFeature&REQUEST={}", "", ""),
        ("GET", "REQUEST={}&request=GetFeature", "", ""),
        ("POST", "REQUEST=GetFeature", FORM, "REQUEST={}"),
        ("POST", "REQUEST=GetFeature", FORM, "REQUEST=GetFeature&request={}"),
        ("POST", "REQUEST={}", FORM, "REQUEST=GetFeature"),
        ("POST", "REQUEST=GetFeature", "text/xml", "<{}/>"),
        ("POST", "REQUEST={}", "text/xml", "<GetFeature/>"),
        ("POST", "REQUEST=GetFeature", "text/xml", "<GetFeature Request='{}'/>"),
        ("POST", "REQUEST=GetFeature", "text/xml", "<!-- " + "x" * 20000 + " --><{}/>"),
        ("POST", "REQUEST=GetFeature", "text/xml", " " * 20000 + "<{}/>"),
        ("POST", "REQUEST=GetFeature", "text/xml", '<?xml version="1.0" encoding="x-unknown"?><{}/>'),
        ("POST", "REQUEST=GetFeature", "text/xml", '<?xml version="1.0" encoding="gbk"?><{}/>'),
        ("POST", "REQUEST=GetFeature", "text/xml", "REQUEST={}"),
        ("POST", "REQUEST=GetFeature", "", "<{}/>"),
        ("POST", "REQUEST=GetFeature", FORM, "<{}/>"),
        ("POST", "REQUEST=GetFeature", FORM, "  <!-- " + "x" * 20000 + " --><{}/>"),
        ("POST", "REQUEST=GetFeature", FORM, "\ufeff<{}/>"),
    ],
)
def test_a_write_is_found_wherever_qgis_would(
    method: str, query: str, kind: str, body: str, write: str
) -> None:
    """QGIS takes the last of several, a posted one first, and tells XML from a form by trying."""
    read = ows.read(method, query.format(write), kind, body.format(write).encode())
    assert not read.idempotent


@given(st.binary(max_size=300), st.sampled_from(["text/xml", FORM, "", "application/json"]))
@example(b"%ff", FORM)
@settings(deadline=None)
def test_a_body_that_begins_a_write_is_never_repeated(rest: bytes, kind: str) -> None:
    try:
        read = ows.read("POST", "REQUEST=GetFeature", kind, b"<Transaction>" + rest)
    except ows.MalformedRequest:
        assert kind == FORM
        return
    assert not read.idempotent


@given(
    st.sampled_from(["GET", "POST", "HEAD"]),
    st.text(max_size=100),
    st.sampled_from([FORM, "text/xml", ""]) | st.text(max_size=30),
    st.binary(max_size=200),
)
@settings(deadline=None)
def test_any_request_is_read_or_malformed(method: str, query: str, content_type: str, body: bytes) -> None:
    with contextlib.suppress(ows.MalformedRequest):
        assert isinstance(ows.read(method, query, content_type, body), ows.OwsRequest)


@given(
    st.lists(st.sampled_from(["a", "MAP", "=", "&", "+", "%2B", "%C3%A9", "%ff", "%", "\xe9", ";"])).map(
        "".join
    )
)
def test_queries_are_decoded_as_by_pythons_library(query: str) -> None:
    pairs = parse_qsl(query, keep_blank_values=True, errors="replace")
    try:
        named = [(name.upper(), value) for name, value in pairs]
        assert list(ows.read("GET", query, "", b"").pairs) == named
    except ows.MalformedRequest:
        assert "\N{REPLACEMENT CHARACTER}" in dict(pairs)["MAP"]
