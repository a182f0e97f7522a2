# SPDX-License-Identifier: GPL-2.0-or-later
"""What the processes that run QGIS may do on this machine."""

from __future__ import annotations

from dataclasses import dataclass

from ..declaration import option
from ..kinds import Boolean, Integer, Size


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
