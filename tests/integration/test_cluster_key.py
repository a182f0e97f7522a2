# SPDX-License-Identifier: GPL-2.0-or-later
"""Proxy and workers that share a key, and everybody else, who has none."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from qgsd import cluster_key, messages
from tests.integration.instance import GET_MAP, Crowd, Instance, ows_path
from tests.waiting import wait_for

Launch = Callable[..., Instance]
TILE = ows_path(**GET_MAP)
PLUGINS = Path(__file__).parents[1] / "plugins"
ROUNDS = int(os.environ.get("FUZZ_MESSAGES", "3000"))


@pytest.fixture
def port() -> str:
    """A port for workers that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return str(probe.getsockname()[1])


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.key"
    cluster_key.write_new(path)
    return path


def proxy(launch: Launch, port: str, key: Path, *more: str) -> Instance:
    settings = (f"zmq.bindaddr=tcp://127.0.0.1:{port}", f"zmq.key_file={key}", *more)
    return launch("--proxy", *[part for setting in settings for part in ("--set", setting)])


def worker(launch: Launch, port: str, projects: Path, *more: str) -> Instance:
    arguments = ("--host", "127.0.0.1", "--port", port, "--rootdir", str(projects), "-w", "1")
    return launch(*arguments, *more, command="worker")


def test_only_who_has_the_key_joins(launch: Launch, port: str, projects: Path, key_file: Path) -> None:
    other = key_file.with_name("other.key")
    cluster_key.write_new(other)
    front = proxy(launch, port, key_file, "supervision.worker_grace=0.5")
    stranger = worker(launch, port, projects, "--key-file", str(other))
    keyless = worker(launch, port, projects)
    for refused in (stranger, keyless):
        wait_for("it is told", lambda it=refused: "no proxy with our key" in it.log_text)
    wait_for("the proxy tells of it", lambda: "127.0.0.1 was turned away" in front.log_text)
    # Of a connection that ended at once the address may not be known any more.
    assert front.log_text.count("127.0.0.1 was turned away") == 1, "once a minute for an address"
    assert front.get(TILE).status == 503
    worker(launch, port, projects, "--key-file", str(key_file))
    wait_for("the one with the key serves", lambda: front.get("/readyz").status == 200)
    assert front.get(TILE).status == 200
    secret = key_file.read_text().splitlines()[-1]
    for instance in (front, stranger):
        assert secret not in instance.log_text
        assert secret not in instance.ctl("--json", "config").stdout


def test_the_key_is_exchanged_under_load(launch: Launch, port: str, projects: Path, key_file: Path) -> None:
    old, new = key_file.read_text(), cluster_key.generate() + "\n"
    there = key_file.with_name("there.key")
    there.touch(0o600)
    there.write_text(old)
    front = proxy(launch, port, key_file)
    back = worker(launch, port, projects, "--key-file", str(there))
    wait_for("a worker is there", lambda: front.get("/readyz").status == 200)
    (before,) = {row["pid"] for row in back.workers()}
    with Crowd(front, 2, TILE) as crowd:
        for content in (old + new, new + old, new):
            there.write_text(content)
            back.ctl("reload")
            key_file.write_text(content)
            front.ctl("reload")
            front.ctl("restart", "--here")
            crowd.wait_answers(20)
    assert crowd.bad == []
    assert {row["pid"] for row in back.workers()} == {before}, "a worker changes its key while it serves"


def test_plugins_of_qgis_do_not_find_secrets_in_the_environment(launch: Launch, projects: Path) -> None:
    secrets = {"QGSRV_ZMQ_KEY": cluster_key.generate(), "QGSRV_MANAGEMENT_TOKEN": "a-token-of-ours"}
    environment = secrets | {"QGSRV_LOGGING_LEVEL": "INFO", "QGIS_PLUGINPATH": str(PLUGINS)}
    instance = launch("--rootdir", str(projects), "-w", "1", env=environment)

    def seen(variable: str) -> object:
        return instance.ows(SERVICE="PROBE", REQUEST="variable", VALUE=variable).json()["value"]

    assert seen("QGSRV_LOGGING_LEVEL") == "INFO"
    assert [seen(secret) for secret in secrets] == [None, None]


def _handshakes(random_: random.Random) -> Iterator[bytes]:
    """Openings of a connection: ZMTP 3 greetings of any mechanism, whole or damaged, and none at all."""
    while True:
        mechanism = random_.choice([b"NULL", b"PLAIN", b"CURVE", b"", random_.randbytes(8)])
        greeting = (
            b"\xff" + bytes(8) + b"\x7f\x03\x00" + mechanism.ljust(20, b"\0")[:20] + b"\x00".ljust(32, b"\0")
        )
        tail = random_.choice([b"\x04\x19\x05READY", b"\x04\xc8\x05HELLO" + random_.randbytes(194), b""])
        opening = bytearray(greeting + tail + random_.randbytes(random_.randrange(64)))
        for _ in range(random_.choice([0, 0, 1, 8])):
            opening[random_.randrange(len(opening))] = random_.randrange(256)
        yield bytes(opening[: random_.randrange(1, len(opening) + 1)])


def _frames(random_: random.Random) -> Iterator[list[bytes]]:
    """What a worker might say, and what nobody would."""
    join = messages.encode(messages.Join(messages.PROTOCOL, "1", "m", 0, 1))
    lost = messages.encode(messages.WorkerLost("OWS-SERVER::0:1", "because"))
    while True:
        known = random_.choice([join, lost, messages.encode(messages.Leave())])
        damaged = bytearray(known)
        damaged[random_.randrange(len(damaged))] = random_.randrange(256)
        header = random_.choice([known, bytes(damaged), random_.randbytes(random_.randrange(200))])
        yield [header, random_.randbytes(random_.randrange(20))][: random_.choice([1, 2, 2, 2])]


def _send_raw(port: int, openings: Iterator[bytes], number: int) -> None:
    for _, opening in zip(range(number), openings, strict=False):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(opening)


def _send_frames(port: int, frames: Iterator[list[bytes]], number: int, key: str = "") -> int:
    """How many could be sent: without the key as many as wait for a handshake that never ends well."""
    sent = 0
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        peer = context.socket(zmq.DEALER)
        # Unread answers of the dispatcher must not stand in the way, nor what could not be sent.
        peer.setsockopt(zmq.LINGER, 0)
        if key:
            cluster_key.unlock(peer, cluster_key.parse(key))
        peer.connect(f"tcp://127.0.0.1:{port}")
        for _, message in zip(range(number), frames, strict=False):
            if not peer.poll(1000, zmq.POLLOUT):
                break
            peer.send_multipart(message)
            sent += 1
            while peer.poll(0):
                peer.recv_multipart()
        peer.poll(200)
    finally:
        context.destroy(linger=0)
    return sent


def test_whatever_is_sent_to_the_port_without_the_key_disturbs_nobody(
    launch: Launch, port: str, projects: Path, key_file: Path
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    random_ = random.Random(seed)
    front = proxy(launch, port, key_file)
    worker(launch, port, projects, "--key-file", str(key_file))
    wait_for("a worker is there", lambda: front.get("/readyz").status == 200)
    dispatcher = front.child("dispatcher")
    with Crowd(front, 1, TILE) as crowd:
        _send_raw(int(port), _handshakes(random_), ROUNDS)
        _send_frames(int(port), _frames(random_), ROUNDS)
        _send_frames(int(port), _frames(random_), ROUNDS, key=cluster_key.generate())
        crowd.wait_answers(5)
    assert crowd.bad == [], f"seed {seed}"
    assert dispatcher.is_running(), f"seed {seed}"
    assert front.child("dispatcher").pid == dispatcher.pid
    assert "dispatcher.crashed" not in front.ctl("--json", "events").stdout


def test_nonsense_from_a_holder_of_the_key_does_not_end_the_dispatcher(
    launch: Launch, port: str, projects: Path, key_file: Path
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    front = proxy(launch, port, key_file)
    dispatcher = front.child("dispatcher")
    secret = key_file.read_text().splitlines()[-1]
    assert _send_frames(int(port), _frames(random.Random(seed)), ROUNDS, key=secret) == ROUNDS
    worker(launch, port, projects, "--key-file", str(key_file))
    wait_for("a worker is there", lambda: front.get(TILE).status == 200)
    assert front.child("dispatcher").pid == dispatcher.pid, f"seed {seed}"
