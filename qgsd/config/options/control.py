# SPDX-License-Identifier: GPL-2.0-or-later
"""Where qgsdctl reaches the master."""

from __future__ import annotations

from dataclasses import dataclass

from ..declaration import RUN, STOP, WORKER, option
from ..kinds import Text


@dataclass(frozen=True)
class ControlSettings:
    """[control]: where qgsdctl reaches the master."""

    address: str = option(
        "",
        Text(
            r"ipc:///\S+|tcp://(127(\.[0-9]{1,3}){3}|localhost|\[::1\]):[0-9]{1,5}",
            "ipc:///PATH or tcp://127.0.0.1:PORT",
            empty=True,
        ),
        "address of the control socket; empty = a socket in the pidfile's folder",
        flag=("--control",),
        metavar="ADDRESS",
        commands=(RUN, WORKER, STOP),
    )
