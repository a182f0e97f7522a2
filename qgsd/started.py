# SPDX-License-Identifier: GPL-2.0-or-later
"""How an instance was started, kept beside its pidfile so that `qgsd restart` starts it likewise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from qgsd.control import locate

_NAME = "started"


class Started(msgspec.Struct, frozen=True):
    """`folder` it was started in, `config` file if any, `overrides` of the command line by SECTION.KEY."""

    folder: str
    config: str | None
    overrides: dict[str, str]

    def merged(self, given: Mapping[tuple[str, str], str]) -> dict[tuple[str, str], str]:
        """The overrides of then, and those `given` now, which win."""
        kept = {tuple(name.split(".", 1)): value for name, value in self.overrides.items()}
        return {**kept, **given}  # type: ignore[dict-item]


def remember(directory: Path, config: str | None, overrides: Mapping[tuple[str, str], str]) -> None:
    """Write it into the folder beside the pidfile, for the user's own eyes. Raises OSError."""
    told = {f"{section}.{key}": value for (section, key), value in overrides.items()}
    descriptor = os.open(directory / _NAME, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(Started(os.getcwd(), config, told)))


def recall(pidfile: Path) -> Started | None:
    """How the instance of this pidfile was started; None when that is not known, or told by another user."""
    path = locate.run_directory_of(pidfile) / _NAME
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_uid != os.geteuid():
                return None
            return msgspec.json.decode(file.read(), type=Started)
    except (OSError, msgspec.MsgspecError):
        return None
