# SPDX-License-Identifier: GPL-2.0-or-later
"""The typed messages: they come back as they were, to those they are meant for, across versions."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from qgsd import messages
from qgsd.messages import wire

Decode = Callable[[bytes], Struct]
VOCABULARIES: dict[str, tuple[Any, Decode]] = {
    "from http": (messages.FromHttp, messages.decode_from_http),
    "to http": (messages.ToHttp, messages.decode_to_http),
    "from worker": (messages.FromWorker, messages.decode_from_worker),
    "to worker": (messages.ToWorker, messages.decode_to_worker),
    "order": (messages.Order, messages.decode_order),
    "report": (messages.Report, messages.decode_report),
}
WIRE = {"from http", "to http", "from worker", "to worker"}
MEMBERS = [
    (name, kind, decode) for name, (union, decode) in VOCABULARIES.items() for kind in typing.get_args(union)
]
SCALARS = {
    str: st.text(max_size=20),
    bytes: st.binary(max_size=20),
    int: st.integers(-(2**63), 2**64 - 1),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    type(None): st.none(),
    wire.Seconds: st.floats(0, 1e9),
    wire.Bytes: st.integers(0, 2**50),
    wire.Place: st.floats(-1e12, 1e12),
    wire.Extent: st.floats(1e-12, 1e12),
}


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Anything of the type of a field."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in SCALARS:
        return SCALARS[hint]
    if isinstance(hint, type) and issubclass(hint, Struct):
        return messages_of(hint)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is list:
        return st.lists(values_of(arguments[0]), max_size=3)
    if origin is tuple:
        return st.tuples(*map(values_of, arguments))
    if origin is dict:
        return st.dictionaries(*map(values_of, arguments), max_size=3)
    return st.one_of(*map(values_of, arguments))


def messages_of(kind: type[Struct]) -> st.SearchStrategy[Struct]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{name: values_of(hints[name]) for name in kind.__struct_fields__})


def a_message(kind: type[Struct]) -> Struct:
    """One that is always the same."""
    empty: dict[Any, Any] = {str: "x", bytes: b"x", int: 1, float: 1.5, bool: True}

    def value(hint: Any) -> Any:
        if hint in empty:
            return empty[hint]
        if isinstance(hint, type) and issubclass(hint, Struct):
            return a_message(hint)
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is typing.Literal:
            return arguments[0]
        return origin() if origin in (list, dict) else value(arguments[0])

    hints = typing.get_type_hints(kind, include_extras=True)
    return kind(**{name: value(hints[name]) for name in kind.__struct_fields__})


def test_every_vocabulary_has_words() -> None:
    assert {name for name, _, _ in MEMBERS} == set(VOCABULARIES)
    assert len(MEMBERS) >= 30


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_messages_come_back_as_they_were(data: st.DataObject) -> None:
    _, kind, decode = data.draw(st.sampled_from(MEMBERS))
    message = data.draw(messages_of(kind))
    back = decode(messages.encode(message))
    assert type(back) is kind
    assert back == message


@pytest.mark.parametrize(("name", "kind", "decode"), MEMBERS)
def test_a_message_cannot_be_changed(name: str, kind: type[Struct], decode: Decode) -> None:
    message = decode(messages.encode(a_message(kind)))
    assert message == a_message(kind)
    for field in kind.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(message, field, None)


@pytest.mark.parametrize("name", VOCABULARIES)
def test_nobody_takes_what_is_meant_for_others(name: str) -> None:
    union, decode = VOCABULARIES[name]
    strangers = {kind for _, kind, _ in MEMBERS} - set(typing.get_args(union))
    assert strangers
    for kind in strangers:
        with pytest.raises(msgspec.MsgspecError):
            decode(messages.encode(a_message(kind)))


@pytest.mark.parametrize(("name", "kind", "decode"), [m for m in MEMBERS if m[0] in WIRE])
def test_a_newer_peer_may_say_more(name: str, kind: type[Struct], decode: Decode) -> None:
    message = a_message(kind)
    fields = msgspec.msgpack.decode(messages.encode(message))
    assert isinstance(fields, list), "names on the wire would cost bytes with every message"
    assert decode(messages.encode([*fields, "what a later version adds", 7])) == message


@pytest.mark.parametrize(("name", "kind", "decode"), [m for m in MEMBERS if m[0] in WIRE])
def test_an_older_peer_may_leave_out_what_has_a_default(
    name: str, kind: type[Struct], decode: Decode
) -> None:
    fields = msgspec.msgpack.decode(messages.encode(a_message(kind)))
    required = len(kind.__struct_fields__) - len(kind.__struct_defaults__)
    assert decode(messages.encode(fields[: 1 + required]))
    for length in range(1 + required):
        with pytest.raises(msgspec.MsgspecError):
            decode(messages.encode(fields[:length]))


@pytest.mark.parametrize(("name", "kind", "decode"), [m for m in MEMBERS if m[0] not in WIRE])
def test_unknown_fields_of_orders_and_reports_are_ignored(
    name: str, kind: type[Struct], decode: Decode
) -> None:
    fields = msgspec.msgpack.decode(messages.encode(a_message(kind)))
    assert decode(messages.encode(fields | {"added": 1})) == a_message(kind)


@given(st.sampled_from(sorted(VOCABULARIES)), st.binary(max_size=200))
@settings(deadline=None)
def test_other_bytes_are_no_message(name: str, data: bytes) -> None:
    union, decode = VOCABULARIES[name]
    try:
        message = decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return
    assert isinstance(message, typing.get_args(union))


@pytest.mark.parametrize(
    ("change", "value"),
    [("id", 1), ("timeout", "soon"), ("idempotent", 1), ("headers", {"a": "b"}), ("headers", [["a"]])],
)
def test_a_request_is_checked_to_the_last_field(change: str, value: object) -> None:
    request = messages.Request("1", "p", "GET", "u", [("a", "b")], "WMS", "GetMap", True, 2.5)
    assert messages.decode_request(messages.encode(request)) == request
    fields = msgspec.msgpack.decode(messages.encode(request))
    fields[1 + messages.Request.__struct_fields__.index(change)] = value
    for decode in (messages.decode_request, messages.decode_from_http):
        with pytest.raises(msgspec.ValidationError):
            decode(messages.encode(fields))
