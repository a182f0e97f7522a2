# SPDX-License-Identifier: GPL-2.0-or-later
"""Which memory allocator QGIS runs with.

QGIS makes millions of small objects, in threads. With jemalloc it draws a few per cent faster than with the C
library's allocator (docs/performance.md). It must be there before the first allocation, hence LD_PRELOAD,
see ld.so(8).
"""

from __future__ import annotations

import ctypes
import sysconfig
from collections.abc import Mapping, MutableMapping
from pathlib import Path

AUTO = "auto"
SYSTEM = "system"

_JEMALLOC = "libjemalloc.so.2"
# Two arenas: a worker draws one request at a time. Pictures stay in the thread's own cache, up to a megabyte.
_OPTIONS = {"MALLOC_CONF": "narenas:2,lg_tcache_max:20"}
# MALLCTL_ARENAS_ALL, see jemalloc(3).
_ALL_ARENAS = 4096

_program = ctypes.CDLL(None)


def _folders() -> list[Path]:
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    return [Path(root) / part for root in ("/usr/lib", "/usr/local/lib") for part in (multiarch, "")] + [
        Path("/usr/lib64")
    ]


def find() -> str:
    """The path of jemalloc on this machine; empty where it is not installed."""
    found = (folder / _JEMALLOC for folder in _folders())
    return next((str(path) for path in found if path.exists()), "")


def library(choice: str) -> str:
    """What is to be loaded for `server.allocator`; empty for the C library's own.

    :param choice: `auto`, `system`, or the path of a library.
    """
    return {AUTO: find(), SYSTEM: ""}.get(choice, choice)


def options(library: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables by which this library is told how to run, where the administrator does not say."""
    return {} if environ.keys() & _OPTIONS or _JEMALLOC not in library else _OPTIONS


def clear_options(environ: MutableMapping[str, str]) -> None:
    """Take out again what `options` has put there."""
    for name, value in _OPTIONS.items():
        if environ.get(name) == value:
            del environ[name]


def in_use() -> str:
    """The allocator of this process, for people."""
    return "jemalloc" if hasattr(_program, "mallctl") else "the C library"


def give_memory_back() -> None:
    """Return to the system what has been freed, where the allocator can: malloc_trim(3), jemalloc(3)."""
    if purge := getattr(_program, "mallctl", None):
        purge(b"thread.tcache.flush", None, None, None, ctypes.c_size_t(0))
        purge(f"arena.{_ALL_ARENAS}.purge".encode(), None, None, None, ctypes.c_size_t(0))
    elif trim := getattr(_program, "malloc_trim", None):
        trim(0)
