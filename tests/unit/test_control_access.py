# SPDX-License-Identifier: GPL-2.0-or-later
"""Who gets in at a control socket, and that nobody else disturbs it."""

from __future__ import annotations

import os
import random
import stat
from dataclasses import replace
from pathlib import Path

import pytest
import zmq

from qgsd import cluster_key
from qgsd.admin.api import CHANGING, LOOKING
from qgsd.config import ControlSettings
from qgsd.control import Client, CommandFailed, NoMaster
from qgsd.control.commands import COMMANDS
from qgsd.control.endpoint import check_address
from qgsd.control.operations import Refused
from qgsd.errors import StartError
from qgsd.master import control_access
from tests.unit.test_control_server import question, raw
from tests.unit.test_control_support import serving

NO_ARGUMENTS = {"scale": {"workers": 1}, "kill": {"target": 1}, "set": {"option": "a", "value": "b"},
                "log-level": {"level": "info"}, "drain": {"machine": "m"}}  # fmt: skip
NAMED = ("load", "evict", "pin", "hold", "release")


def test_a_readonly_socket_takes_only_what_looks(tmp_path: Path) -> None:
    with serving(tmp_path / "look", readonly=True) as served, Client(served.address) as client:
        assert client.call("status")["pid"] == os.getpid()
        client.call("quarantine")
        for name in CHANGING:
            args = NO_ARGUMENTS.get(name, {"project": "p"} if name in NAMED else {})
            args |= {"action": "clear"} if name == "quarantine" else {}
            with pytest.raises(CommandFailed) as refused:
                client.call(name, **args)
            assert refused.value.code == "read_only", name
        assert served.instance.poison


def test_the_management_port_and_the_readonly_socket_agree_on_what_only_looks() -> None:
    looking = {name for name, command in COMMANDS.items() if command.looks}
    assert looking | {"quarantine"} == set(LOOKING)
    assert {name for name, command in COMMANDS.items() if not command.looks} == set(CHANGING)


def test_on_tcp_only_holders_of_the_key_are_heard(tmp_path: Path) -> None:
    files = [tmp_path / "own", tmp_path / "other"]
    for file in files:
        cluster_key.write_new(file)
    own, other = (cluster_key.read(file)[0] for file in files)
    with serving("tcp://127.0.0.1:*", key=own) as served:
        with Client(served.address, key_file=str(files[0])) as client:
            assert client.call("ping")["pong"]
        for stranger in (Client(served.address, key=other, connect_timeout=0.3),
                         Client(served.address, connect_timeout=0.3)):  # fmt: skip
            with stranger, pytest.raises(NoMaster):
                stranger.call("stop")
        with Client(served.address, key=own) as client:
            assert client.call("ping")["pong"]


def test_other_machines_need_a_key() -> None:
    assert check_address("tcp://192.0.2.1:7000", encrypted=True) == "tcp://192.0.2.1:7000"
    with pytest.raises(Refused, match="key_file"):
        check_address("tcp://192.0.2.1:7000")


def test_settings_that_cannot_be_are_told(tmp_path: Path) -> None:
    usual = ControlSettings()
    control_access.check(replace(usual, group="root", readonly_group="*"))
    for wrong, word in (
        (replace(usual, group="no-such-group"), "no-such-group"),
        (replace(usual, group="*"), "readonly_group"),
        (replace(usual, readonly="tcp://0.0.0.0:1"), "key_file"),
        (replace(usual, key_file=str(tmp_path / "none")), "key_file"),
    ):
        with pytest.raises(StartError, match=word):
            control_access.check(wrong)
    assert control_access.warnings(replace(usual, address="tcp://127.0.0.1:1"))
    assert not control_access.warnings(usual)


def test_no_socket_is_made_where_everybody_could_replace_it(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(Refused, match="replace"), serving(folder / "control"):
        pass
    folder.chmod(0o1777)
    with serving(folder / "control"):
        assert stat.S_IMODE((folder / "control").stat().st_mode) == 0o600


# A long run: QGSD_FUZZ_MESSAGES=100000 pytest tests/unit/test_control_access.py
MESSAGES = int(os.environ.get("QGSD_FUZZ_MESSAGES", "5000"))


def test_thousands_of_random_messages_disturb_nobody(tmp_path: Path) -> None:
    """Frames of any number and content, and bytes of no protocol at all, beside a client that works on."""
    chance = random.Random(9)
    with serving(tmp_path / "control") as served, raw(served.address, zmq.DEALER) as sock:
        sock.sndtimeo = 10_000
        pieces = [
            b"",
            b"{",
            b'{"id"',
            question("ps"),
            question("scale", workers=-1),
            b"\0" * 70_000,
            b"[" * 5000,
        ]
        for number in range(MESSAGES):
            frames = [
                chance.choice(pieces) if chance.random() < 0.5 else chance.randbytes(chance.randrange(200))
                for _ in range(chance.randrange(1, 6))
            ]
            sock.send_multipart(frames)
            if number % 50 == 0:
                while sock.poll(0):
                    sock.recv_multipart()
        with Client(served.address) as client:
            assert client.call("ping")["pong"]
        _send_raw_bytes(tmp_path / "control", chance)
        with Client(served.address) as client:
            assert client.call("ping")["pong"]


def _send_raw_bytes(path: Path, chance: random.Random) -> None:
    import socket

    for _ in range(50):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(path))
            # ZeroMQ hangs up on what is no greeting, perhaps before all is sent.
            try:
                stranger.sendall(chance.randbytes(chance.randrange(1, 500)))
            except OSError:
                continue
