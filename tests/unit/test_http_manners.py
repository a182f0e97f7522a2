# SPDX-License-Identifier: GPL-2.0-or-later
"""What is decided about tags, ranges and codings, with arbitrary headers."""

from __future__ import annotations

import string
import zlib

import brotli
from hypothesis import given
from hypothesis import strategies as st

from qgsd.proxy.http import coding, conditions

headers = st.text(alphabet=string.printable, max_size=60)
tags = st.text(alphabet=string.ascii_letters + "-,*", max_size=10).map(lambda text: f'"{text}"')


@given(headers, tags)
def test_no_header_breaks_the_comparison(told: str, tag: str) -> None:
    assert conditions.matches(told, tag) in (True, False)


@given(st.lists(tags, max_size=4), tags, st.booleans())
def test_a_tag_is_found_where_it_is(others: list[str], tag: str, weak: bool) -> None:
    told = ", ".join(others)
    assert conditions.matches(told, tag) == (tag in others)
    mine = f"W/{tag}" if weak else tag
    assert conditions.matches(", ".join([*others, mine]), tag)


def test_each_coding_of_a_body_has_its_own_tag() -> None:
    tag = conditions.etag_of(b"body")
    assert len({conditions.with_coding(tag, how) for how in ("", "br", "gzip")}) == 3


@given(headers, headers, st.integers(0, 100))
def test_a_range_lies_within_the_body(asked: str, if_range: str, length: int) -> None:
    try:
        span = conditions.span_of(asked, if_range, length, '"t"')
    except conditions.Unsatisfiable:
        return
    assert span is None or 0 <= span.start < span.end <= length


@given(st.integers(0, 120), st.integers(0, 120), st.integers(1, 100))
def test_a_range_is_what_was_asked_for(first: int, last: int, length: int) -> None:
    body = bytes(range(length))
    try:
        span = conditions.span_of(f"bytes={first}-{last}", "", length, '"t"')
    except conditions.Unsatisfiable:
        assert first >= length
        return
    if last < first:
        assert span is None
    else:
        assert span is not None
        assert body[span.start : span.end] == body[first : last + 1]


@given(headers)
def test_no_header_breaks_the_choice_of_a_coding(told: str) -> None:
    assert coding.accepted(told) in ("", "br", "gzip")


@given(st.sampled_from(["br", "gzip"]), st.lists(st.binary(max_size=2000), max_size=5))
def test_pieces_can_be_read_as_they_come(how: str, pieces: list[bytes]) -> None:
    encoder = coding.encoder(how)
    decoder = brotli.Decompressor() if how == "br" else zlib.decompressobj(47)
    read = decoder.process if how == "br" else decoder.decompress
    seen = b""
    for count, piece in enumerate(pieces, 1):
        seen += read(encoder.piece(piece))
        assert seen == b"".join(pieces[:count])
    seen += read(encoder.end())
    assert seen == b"".join(pieces)
