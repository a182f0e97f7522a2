# SPDX-License-Identifier: GPL-2.0-or-later
"""What a request may ask for: sizes, documents, addresses, expressions."""

from __future__ import annotations

import base64
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qgsd.config import RequestsSettings
from qgsd.proxy import demands, documents, ows

LIMITS = RequestsSettings()
OPEN = replace(LIMITS, remote_hosts=("wms.example.org", "*.town.example"), expressions=True)
BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>'


def judge(limits: RequestsSettings, body: bytes = b"", **parameters: str) -> str:
    """The code of the refusal, empty for what may run."""
    named = {name.replace("__", ":"): value for name, value in parameters.items()}
    wanted = ows.read("POST" if body else "GET", urlencode(named), "text/xml", body)
    try:
        demands.check(wanted, body, limits)
    except demands.Refused as refused:
        return refused.code
    return ""


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"WIDTH": "800", "HEIGHT": "600", "DPI": "96"}, ""),
        ({"WIDTH": "16385", "HEIGHT": "1"}, "too_large"),
        ({"width": "+99999"}, "too_large"),
        ({"HEIGHT": " 99999 "}, "too_large"),
        ({"HEIGHT": "99999.5"}, "too_large"),
        ({"HEIGHT": "9" * 300}, "too_large"),
        ({"WIDTH": "16000", "HEIGHT": "16000"}, "too_large"),
        ({"DPI": "1201"}, "too_large"),
        ({"SRCWIDTH": "20000"}, "too_large"),
        ({"WIDTH": "many"}, ""),
    ],
)
def test_sizes(parameters: dict[str, str], code: str) -> None:
    assert judge(LIMITS, **parameters) == code


def test_of_repeated_sizes_none_may_be_too_large() -> None:
    wanted = ows.read("GET", "WIDTH=99999&WIDTH=1", "", b"")
    with pytest.raises(demands.Refused):
        demands.check(wanted, b"", LIMITS)
    demands.check(wanted, b"", replace(LIMITS, max_width=0))


ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_document_type_is_let_through(encoding: str) -> None:
    assert judge(LIMITS, BOMB.encode(encoding)) == "doctype"
    padded = f"<!--{'-x' * 30_000}-->{BOMB}"
    assert judge(LIMITS, padded.encode(encoding)) == "doctype"


def test_what_only_looks_like_a_document_type() -> None:
    harmless = "<a><!-- <!DOCTYPE x> --><![CDATA[<!ENTITY a 'b'>]]></a>"
    assert judge(LIMITS, harmless.encode()) == ""
    assert judge(LIMITS, b'<?xml version="1.0" encoding="Shift_JIS"?>' + BOMB.encode()) == "doctype"


@pytest.mark.parametrize("name", ["FILTER", "SLD_BODY", "MAP0:HIGHLIGHT_SYMBOL", "ANYTHING"])
def test_documents_in_parameters(name: str) -> None:
    assert judge(LIMITS, **{name: BOMB}) == "doctype"


@given(before=st.text(max_size=30), after=st.text(max_size=30))
def test_a_document_type_is_found_wherever_it_stands(before: str, after: str) -> None:
    """Whatever else is in it: only what a real parser takes for something else may pass."""
    document = f"{before}{BOMB}{after}".encode("utf-8", "replace")
    assert documents.declares_entities(document) or "<" in before


@pytest.mark.parametrize("attribute", ["env", "ENV", "&#101;nv", " env ", "load_layer", "eval"])
def test_functions_in_filters(attribute: str) -> None:
    call = f'<ogc:Function name="{attribute}"><ogc:Literal>HOME</ogc:Literal></ogc:Function>'
    document = f"<GetFeature><Filter>{call}</Filter></GetFeature>"
    assert judge(LIMITS, document.encode()) == "forbidden_function"
    assert judge(LIMITS, document.encode("utf-16")) == "forbidden_function"
    assert judge(LIMITS, FILTER=document) == "forbidden_function"
    assert judge(OPEN, FILTER=document) == ""


def test_other_functions_and_other_words_may_be_used() -> None:
    assert judge(LIMITS, FILTER='<Filter><Function name="buffer"/></Filter>') == ""
    assert judge(LIMITS, EXP_FILTER="\"environment\" = 'env' AND buffer($geometry, 1) IS NOT NULL") == ""
    assert judge(LIMITS, FILTER="<Filter><Function name='env'") == "malformed"


@pytest.mark.parametrize(
    "expression",
    ["env('HOME')", "ENV\n('A')", "a = env /* x */ ( 'b' )", "env -- y\n('c')", "file_exiſts('a')"],
)
def test_functions_in_expressions(expression: str) -> None:
    assert judge(LIMITS, EXP_FILTER=expression) == "forbidden_function"


@pytest.mark.parametrize(
    ("parameters", "refused", "refused_where_hosts_are_allowed"),
    [
        ({"SLD": "http://wms.example.org/a.sld"}, True, False),
        ({"SLD": "https://gis.town.example:8443/a.sld?b=c"}, True, False),
        ({"SLD": "http://other.example.org/a.sld"}, True, True),
        ({"SLD": "http://wms.example.org@127.0.0.1/"}, True, True),
        ({"SLD": "http://127.0.0.1\\@wms.example.org/"}, True, True),
        ({"SLD": "file:///etc/passwd"}, True, True),
        ({"SLD": "/etc/passwd"}, True, True),
        ({"a__url": "http://wms.example.org/ows"}, True, False),
        ({"a__URL": "http://169.254.169.254/"}, True, True),
        ({"a__authcfg": "abc1234"}, True, True),
        ({"LAYERS": "http://any"}, False, False),
    ],
)
def test_addresses(parameters: dict[str, str], refused: bool, refused_where_hosts_are_allowed: bool) -> None:
    assert judge(LIMITS, **parameters).startswith("forbidden_") == refused
    assert judge(OPEN, **parameters).startswith("forbidden_") == refused_where_hosts_are_allowed


def embedded(drawing: bytes) -> str:
    return "base64:" + base64.b64encode(drawing).decode()


@pytest.mark.parametrize(
    ("reference", "refused"),
    [
        ("gpsicons/plane.svg", False),
        ("ttf://Dingbats", False),
        (embedded(b'<svg><use href="#a"/><image href="data:image/png;base64,AA"/></svg>'), False),
        (embedded(b'<svg><image xlink:href="/etc/secret.png"/></svg>'), True),
        (embedded(b"\x1f\x8b..."), True),
        ("data:image/svg+xml,%3Cimage%20href='file:///a'/%3E", True),
        ("http://169.254.169.254/latest", True),
        ("&#104;ttp://any/", True),
        ("../../secret.svg", True),
        ("a/../../secret.svg", True),
        ("/etc/secret.svg", True),
        ("file:///etc/secret.svg", True),
        ("\\\\host\\share", True),
    ],
)
def test_pictures_in_styles(reference: str, refused: bool) -> None:
    style = f'<StyledLayerDescriptor><OnlineResource xlink:href="{reference}"/></StyledLayerDescriptor>'
    for name in ("SLD_BODY", "MAP0:HIGHLIGHT_SYMBOL"):
        assert (judge(LIMITS, **{name: style}) == "forbidden_address") == refused


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("A title, see http://town.example <b>bold</b>", ""),
        ("[% env('HOME') %]", "forbidden_expression"),
        ("file:///etc/passwd", "forbidden_address"),
        (" FILE:/etc/passwd", "forbidden_address"),
        ("http://10.0.0.1/", "forbidden_address"),
        ("<img/src=http://10.0.0.1/>", "forbidden_address"),
        ("<p style='background: url(http://10.0.0.1/)'>", "forbidden_address"),
        ("<script>1</script>", "forbidden_address"),
        ("<b onclick=x>", "forbidden_address"),
    ],
)
def test_texts_of_prints(value: str, code: str) -> None:
    assert judge(LIMITS, REQUEST="GetPrint", note=value) == code
    assert judge(LIMITS, REQUEST="GetMap", note=value) == ""
