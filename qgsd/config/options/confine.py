# SPDX-License-Identifier: GPL-2.0-or-later
"""What the processes that run QGIS may do on this machine."""

from __future__ import annotations

from dataclasses import dataclass

from ..declaration import option
from ..kinds import Boolean, Integer, List, Paths, Size


def _port(text: str) -> str:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 65536):
        raise ValueError(f"{text!r} is not a port")
    return str(int(text))


@dataclass(frozen=True)
class ConfineSettings:
    """[confine]: what workers may do on this machine; 0 = as the environment of qgsd says."""

    address_space: int = option(
        0,
        Size(0),
        "bytes of addresses a worker may use; QGIS maps far more than it needs: well above memory_hard_limit",
    )
    open_files: int = option(0, Integer(0, 1_000_000), "files and connections a worker may have open")
    file_size: int = option(0, Size(0), "largest file a worker may write, temporary ones included")
    core_dumps: bool = option(
        False, Boolean(), "let workers that crash leave core files, which hold what they knew"
    )
    files: bool = option(
        False,
        Boolean(),
        "workers reach only the system's own files, folders of projects and plugins, their temporary files",
    )
    read: tuple[str, ...] = option(
        (), Paths(), "with files=yes: what else workers may read, such as data of layers"
    )
    write: tuple[str, ...] = option((), Paths(), "with files=yes: what else workers may write")
    ports: tuple[str, ...] = option(
        (),
        List(_port, "TCP ports", empty=True),
        "the only TCP ports that workers may connect to, beside the gate's; empty = any",
    )
