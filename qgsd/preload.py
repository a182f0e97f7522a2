# SPDX-License-Identifier: GPL-2.0-or-later
"""The libraries that QGIS's processes are started with, before all others: LD_PRELOAD, see ld.so(8)."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import NamedTuple

from qgsd import allocator, png

_PRELOAD = "LD_PRELOAD"
# Says what of the environment is ours.
_MARK = "QGSD_PRELOADED"


class Wanted(NamedTuple):
    """Of `[server]`: `allocator`, and `png`."""

    allocator: str
    png: str


def variables(wanted: Wanted, environ: Mapping[str, str]) -> dict[str, str]:
    """What the environment of the template must have besides. What the administrator preloads stays."""
    given = environ.get(_PRELOAD, "")
    # It may be an allocator, and two of them do not get on.
    allocating = "" if given and wanted.allocator == allocator.AUTO else allocator.library(wanted.allocator)
    ours = ":".join(filter(None, (allocating, png.library(wanted.png))))
    if not ours:
        return {}
    preload = ":".join(filter(None, (ours, given)))
    return {_PRELOAD: preload, _MARK: ours, **allocator.options(allocating, environ)}


def clear(environ: MutableMapping[str, str]) -> None:
    """Take `variables` out again: programs that plugins start run with what they are used to."""
    ours = environ.pop(_MARK, "")
    if not ours:
        return
    rest = environ.pop(_PRELOAD, "").removeprefix(ours).removeprefix(":")
    if rest:
        environ[_PRELOAD] = rest
    allocator.clear_options(environ)
