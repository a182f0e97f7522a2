# SPDX-License-Identifier: GPL-2.0-or-later
"""The wire itself: raw sockets, malformed frames, addresses."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qgsd.control import Client, protocol
from qgsd.control.commands import COMMANDS
from qgsd.control.endpoint import check_address
from qgsd.control.operations import Refused
from qgsd.control.protocol import Malformed, decode_request
from tests.unit.test_control_support import PATIENCE, Served, serving, until


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("run") / "control") as served:
        yield served


@contextlib.contextmanager
def raw(address: str, kind: int) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(kind) as sock:
        sock.linger = 0
        sock.rcvtimeo = int(PATIENCE * 1000)
        sock.connect(address)
        yield sock


def ask(sock: zmq.Socket[bytes], *frames: bytes) -> Any:
    sock.send_multipart(frames)
    (answer,) = sock.recv_multipart()
    return json.loads(answer)


def question(command: str, id: Any = "1", **args: Any) -> bytes:
    return json.dumps({"id": id, "command": command, "args": args}).encode()


def test_a_dealer_gets_progress_and_the_answer(served: Served) -> None:
    with raw(served.address, zmq.DEALER) as sock:
        first = ask(sock, question("scale", workers=3))
        assert first == {"id": "1", "progress": {"message": "scaling", "done": 0, "total": 1}}
        assert "progress" in json.loads(sock.recv())
        assert json.loads(sock.recv()) == {
            "id": "1",
            "ok": True,
            "result": {"target": 3, "ready": 3, "busy": 0, "starting": 0},
        }


def test_a_req_gets_the_answer_only(served: Served) -> None:
    with raw(served.address, zmq.REQ) as sock:
        assert ask(sock, question("scale", workers=2))["result"]["target"] == 2
        assert ask(sock, question("ping", id=7)) == ask(sock, question("ping", id=7))
        assert ask(sock, b"nonsense")["error"]["code"] == "bad_request"
        assert ask(sock, b'{"command": "ping"}')["id"] is None
        assert ask(sock, question("events", follow=True))["error"]["code"] == "bad_request"


def test_answers_come_as_commands_finish(served: Served) -> None:
    served.do(served.instance.gate.clear)
    with raw(served.address, zmq.DEALER) as sock:
        assert ask(sock, question("restart", "slow"))["id"] == "slow"
        assert ask(sock, question("ping", "quick"))["id"] == "quick"
        served.do(served.instance.gate.set)
        assert "progress" in json.loads(sock.recv())
        assert json.loads(sock.recv())["ok"] is True


def test_following_and_cancelling_by_hand(served: Served) -> None:
    with raw(served.address, zmq.DEALER) as sock:
        alive = ask(sock, question("events", 1, follow=True))
        assert alive["progress"]["event"] == "follow.alive"
        assert ask(sock, question("events", 1, follow=True))["error"]["code"] == "bad_request"
        served.do(served.instance.happen, "scaled", "by hand")
        assert json.loads(sock.recv())["progress"]["reason"] == "by hand"
        assert ask(sock, b'{"id": 1, "command": "cancel"}') == {"id": 1, "ok": True, "result": []}
        assert ask(sock, b'{"id": 1, "command": "cancel"}')["error"]["code"] == "bad_request"
    until(lambda: not served.instance.followers)


def test_a_follower_that_does_not_read_is_given_up(served: Served) -> None:
    with raw(served.address, zmq.DEALER) as sock:
        sock.rcvhwm = 1
        ask(sock, question("events", follow=True))
        until(lambda: len(served.instance.followers) == 1)

        def flood() -> None:
            for _ in range(1000):
                served.instance.happen("scaled", "x" * 5000)

        def given_up() -> bool:
            served.do(flood)
            with Client(served.address) as client:
                client.call("ping")
            return not served.instance.followers

        until(given_up, "the end of following")


def test_followers_are_limited_apart_from_commands(tmp_path: Path) -> None:
    with serving(tmp_path / "control", max_in_flight=1) as served, raw(served.address, zmq.DEALER) as sock:
        assert "progress" in ask(sock, question("events", "1", follow=True))
        assert ask(sock, question("events", "2", follow=True))["error"]["code"] == "busy"
        assert ask(sock, question("ping", "3"))["ok"] is True


MALFORMED = [
    [b"\xff\xfe"],
    [b"[1]"],
    [b"null"],
    [b"{}"],
    [b'{"command": 1}'],
    [b'{"command": "ping", "args": []}'],
    [b'{"command": "ping", "arguments": {}}'],
    [b'{"id": {}, "command": "ping"}'],
    [b'{"id": 123456789012345678901234567890, "command": "ping"}'],
    [b'{"id": "' + b"x" * 300 + b'", "command": "ping"}'],
    [b"[" * 100_000],
    [b'{"command": "ping", "args": {"x": ' + b"[" * 50_000],
    [b" " * (protocol.MAX_REQUEST + 1)],
    [b'{"command": "ping"}', b"more"],
    [b"", b'{"command": "ping"}', b"more"],
    [b"x"] * 5000,
]


@pytest.mark.parametrize("frames", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_frames_are_answered(served: Served, frames: list[bytes]) -> None:
    with raw(served.address, zmq.DEALER) as sock:
        sock.send_multipart(frames)
        answer = json.loads(sock.recv_multipart()[-1])
        assert answer["ok"] is False
        assert answer["error"]["code"] == "bad_request"
        assert ask(sock, question("ping"))["ok"] is True


def test_the_id_comes_back_with_what_is_wrong(served: Served) -> None:
    with raw(served.address, zmq.DEALER) as sock:
        assert ask(sock, b'{"id": "a", "command": 5}')["id"] == "a"
        assert ask(sock, b'{"id": "b", "command": "bogus"}')["id"] == "b"
        assert ask(sock, question("ping", "c", x=1))["error"]["code"] == "bad_arguments"


def test_nothing_is_said_to_nothing(served: Served) -> None:
    with raw(served.address, zmq.DEALER) as sock:
        for frames in ([b""], [b"", b""], [b""] * 9):
            sock.send_multipart(frames)
        assert ask(sock, question("ping"))["ok"] is True


def test_what_is_far_too_large_is_hung_up_on(served: Served) -> None:
    with raw(served.address, zmq.DEALER) as sock:
        sock.send(b" " * (17 * protocol.MAX_REQUEST))
    with Client(served.address) as client:
        assert client.call("ping")["pong"]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_question = st.fixed_dictionaries(
    {},
    optional={
        "id": _json,
        # Not `stop`: the instance would stop, as it should.
        "command": st.sampled_from([*COMMANDS, "cancel"]) | _json,
        "args": st.dictionaries(
            st.sampled_from(["workers", "wait", "relative", "target", "project", "level", "follow"]), _json
        )
        | _json,
    },
).map(lambda document: json.dumps(document).encode("utf-8", "surrogatepass"))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=st.lists(st.lists(st.binary(max_size=64) | _question, min_size=1, max_size=4), max_size=5))
def test_whatever_is_sent_the_server_lives(served: Served, messages: list[list[bytes]]) -> None:
    with raw(served.address, zmq.DEALER) as sock:
        for frames in messages:
            sock.send_multipart(frames)
        sock.send(question("ping", "last"))
        while json.loads(sock.recv_multipart()[-1]).get("id") != "last":
            pass


@given(frame=st.binary(max_size=200) | _question)
def test_decoding_either_works_or_says_malformed(frame: bytes) -> None:
    try:
        request = decode_request(frame)
    except Malformed as error:
        protocol.encode(protocol.failure(error.id, error.code, error.message))
    else:
        assert decode_request(protocol.encode(request)) == request


@pytest.mark.parametrize(
    "address",
    [
        *("tcp://0.0.0.0:1", "tcp://*:1", "tcp://[::]:1", "tcp://192.168.1.1:1", "tcp://example.org:1"),
        *("tcp://:1", "tcp://127.0.0.1", "tcp://127.0.0.1:x", "tcp://127.0.0.1:70000"),
        *("ipc://", "ipc://@name", "ipc://*", "inproc://x", "/run/x", "", f"ipc:///{'x' * 120}"),
    ],
)
def test_addresses_that_others_could_reach_are_refused(address: str, served: Served) -> None:
    with pytest.raises(Refused, match="control address"), serving(address):
        pass


@pytest.mark.parametrize(
    ("address", "bound"),
    [
        ("tcp://localhost:1", "tcp://127.0.0.1:1"),
        ("tcp://127.9.9.9:1", "tcp://127.9.9.9:1"),
        ("tcp://[::1]:1", "tcp://[::1]:1"),
        ("ipc:///run/qgsd/x", "ipc:///run/qgsd/x"),
    ],
)
def test_addresses_that_are_fine(address: str, bound: str) -> None:
    assert check_address(address) == bound


def test_tcp_on_loopback() -> None:
    with serving("tcp://localhost:*") as served:
        assert served.address.startswith("tcp://127.0.0.1:")
        with Client(served.address) as client:
            assert client.call("ping")["pong"]


def test_a_socket_in_use_is_not_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "control"
    with serving(path) as served:
        with pytest.raises(Refused, match="another process listens"), serving(path):
            pass
        with Client(served.address) as client:
            assert client.call("ping")["pong"]


def test_a_stale_socket_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "control"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with serving(path) as served, Client(served.address) as client:
        assert client.call("ping")["pong"]
    path.write_text("precious")
    with pytest.raises(Refused, match="not a socket"), serving(path):
        pass
    assert path.read_text() == "precious"
