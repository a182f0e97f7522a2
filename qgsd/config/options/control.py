# SPDX-License-Identifier: GPL-2.0-or-later
"""Where qgsdctl reaches the master."""

from __future__ import annotations

from dataclasses import dataclass

from ..declaration import RUN, STOP, WORKER, option
from ..kinds import Path, Text

_ADDRESS = r"ipc:///\S+|tcp://([A-Za-z0-9.-]+|\*|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}"
_FORM = "ipc:///PATH or tcp://127.0.0.1:PORT; on other addresses with key_file"
_GROUP = Text(r"[^\s:,/]+", "a group of this machine", empty=True)
_READERS = Text(r"[^\s:,/]+", "a group of this machine, or *", empty=True)


@dataclass(frozen=True)
class ControlSettings:
    """[control]: where qgsdctl reaches the master."""

    address: str = option(
        "",
        Text(
            _ADDRESS,
            _FORM,
            empty=True,
        ),
        "address of the control socket; empty = a socket in the pidfile's folder",
        flag=("--control",),
        metavar="ADDRESS",
        commands=(RUN, WORKER, STOP),
    )
    group: str = option(
        "", _GROUP, "group whose members may use the control socket too; empty = its owner and root only"
    )
    readonly: str = option(
        "",
        Text(_ADDRESS, _FORM, empty=True),
        "address of a second control socket, for commands that only look",
    )
    readonly_group: str = option(
        "", _READERS, "group whose members may use that one too; * = everybody on this machine"
    )
    key_file: str = option(
        "",
        Path(),
        "file of a key, made by `qgsd keygen`: control sockets on TCP take only those who hold it",
    )
