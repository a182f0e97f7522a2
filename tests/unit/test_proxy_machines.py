# SPDX-License-Identifier: GPL-2.0-or-later
"""Which machines are here, whatever they say of themselves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qgsd.messages import MachineHere
from qgsd.proxy.machines import Machines

_WORDS = st.tuples(
    st.sampled_from(["here", "left", "unreachable"]), st.sampled_from("abc"), st.sampled_from("xyz")
)


@given(st.lists(_WORDS, max_size=20))
def test_each_machine_that_is_here_can_be_talked_to(history: list[tuple[str, str, str]]) -> None:
    machines = Machines()
    for word, peer, id in history:
        if word == "here":
            machines.here(peer.encode(), MachineHere(2, id, id, 1, "", "", "running", 1, 1, 0, 0))
        else:
            getattr(machines, word)(peer.encode())
        reached = {machines.peer_of(id) for id in "xyz"} - {None}
        assert len(reached) == len(machines)
        assert reached <= set(machines.peers())
