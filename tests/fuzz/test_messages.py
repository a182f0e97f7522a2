# SPDX-License-Identifier: GPL-2.0-or-later
"""Damaged and invented messages at the control socket and at both ends of the dispatcher: nobody dies.

`make fuzz` sends 100,000 to each; FUZZ_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec
import pytest
import zmq

from qgsd import messages
from tests.fuzz.conftest import SEED, Watched, in_kib
from tests.fuzz.invent import invented
from tests.fuzz.mutate import damaged, examples
from tests.integration.instance import GET_MAP, Instance
from tests.waiting import wait_for

MESSAGES = int(os.environ.get("FUZZ_MESSAGES", "600"))
LONG = pytest.mark.timeout(120 + MESSAGES / 50)
_IN_FLIGHT = 200


def _frames(bodies: Iterable[bytes], random_: random.Random) -> Iterator[list[bytes]]:
    """Mostly of the right number."""
    for body in bodies:
        yield random_.choice([[body], [b"", body], [body, b""], [body, b"x"], [body, b"", b"x"]])


def _send(address: str, frames: Iterable[list[bytes]]) -> list[bytes]:
    """Send them, never far ahead of the answers; what was answered."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    answers = []
    try:
        peer = context.socket(zmq.DEALER)
        peer.setsockopt(zmq.LINGER, 5000)
        peer.connect(address)
        for number, message in enumerate(frames):
            peer.send_multipart(message)
            pause = 200 if number % _IN_FLIGHT == 0 else 0
            while peer.poll(pause):
                answers.append(peer.recv_multipart()[-1])
                pause = 0
        while peer.poll(500):
            answers.append(peer.recv_multipart()[-1])
    finally:
        context.destroy()
    return answers


@LONG
def test_damaged_commands_are_answered_and_harm_nobody(fuzzed: Instance) -> None:
    watched, random_ = Watched(fuzzed), random.Random(SEED)
    bodies = damaged(examples("control"), random_)
    _send(fuzzed.control, islice(_frames(bodies, random_), MESSAGES // 3))
    watched.settled()
    answers = _send(fuzzed.control, islice(_frames(bodies, random_), MESSAGES - MESSAGES // 3))
    grown = watched.judge()
    print(f"seed {SEED}: {len(answers)} answers; grown: {in_kib(grown)}")
    assert len(answers) > MESSAGES / 4
    for answer in answers:
        assert "id" in msgspec.json.decode(answer)
        assert b"Traceback" not in answer
    assert "Traceback" not in fuzzed.log_text, f"seed {SEED}\n{fuzzed.log_text[-3000:]}"


@LONG
@pytest.mark.parametrize("end", ["front", "back"])
def test_no_message_ends_the_dispatcher(fuzzed: Instance, end: str) -> None:
    watched, random_ = Watched(fuzzed), random.Random(SEED)
    union = messages.FromHttp if end == "front" else messages.FromWorker
    address = f"ipc://{fuzzed.folder / 'q.run' / end}"
    bodies = invented(union, random_)
    _send(address, islice(_frames(bodies, random_), MESSAGES // 3))
    watched.settled()
    _send(address, islice(_frames(bodies, random_), MESSAGES - MESSAGES // 3))
    grown = watched.judge()
    print(f"seed {SEED}, {end}: grown: {in_kib(grown)}")
    # A worker may well fail at a request that no http child would send, and says so.
    told = re.sub(r".* qgsd.worker .*\n", "", fuzzed.log_text)
    assert "Traceback" not in told, f"seed {SEED}\n{told[-3000:]}"
    wait_for("it serves", lambda: fuzzed.ows(**GET_MAP).status == 200)
