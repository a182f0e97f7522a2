# SPDX-License-Identifier: GPL-2.0-or-later
"""What a shell completes by asking: the projects and slots of a running instance, and names that need none.

Somebody waits with a finger on the key: within a second there is an answer or none, and never an error.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from qgsd.config import declarations
from qgsd.control.client import Client
from qgsd.control.errors import ControlError
from qgsd.control.locate import find_control, live_instances

_CALL = 0.7
_CONNECT = 0.4
_WALK = 0.2
_MOST = 1000


def candidates(kind: str, line: str) -> list[str]:
    """What could stand at the end of the command line `line`, where something of this `kind` is wanted.

    >>> candidates("options", "qgsdctl set ")[:2]
    ['server.workers', 'server.jobs']
    """
    try:
        return _KINDS[kind](_words(line))
    except (ControlError, OSError, ValueError, KeyError, TypeError):
        return []


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        # A quotation that has not ended.
        return line.split()


def _option(words: list[str], name: str) -> str | None:
    """The value of `--name VALUE` or `--name=VALUE`, if the line has it."""
    for number, word in enumerate(words):
        if word == name and number + 1 < len(words):
            return words[number + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return None


def _client(words: list[str]) -> Client:
    address = _option(words, "--control") or find_control(_option(words, "--instance"))
    return Client(address, _CALL, connect_timeout=_CONNECT, key_file=_option(words, "--key-file"))


def _projects(words: list[str]) -> list[str]:
    """Those that the instance knows, then those that lie in its folders."""
    with _client(words) as client:
        known = [record["project"] for record in client.call("projects")]
        stored = [name for root in _roots(client) for name in _stored(root)]
    return list(dict.fromkeys([*known, *stored]))


def _roots(client: Client) -> list[Path]:
    values = {(row["section"], row["key"]): row["value"] for row in client.call("config")}
    folders = [name.strip() for name in str(values["cache", "rootdir"]).split(",")]
    base = Path(f"/proc/{client.call('ping')['pid']}/cwd")
    return [base / name for name in folders]


def _stored(root: Path) -> Iterator[str]:
    """The projects below a folder, as far as they are found in no time."""
    until = time.monotonic() + _WALK
    found = 0
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.endswith((".qgs", ".qgz")) and found < _MOST:
                found += 1
                yield os.path.relpath(os.path.join(folder, name[:-4]), root)
        if time.monotonic() > until or found >= _MOST:
            return


def _slots(words: list[str]) -> list[str]:
    with _client(words) as client:
        rows: list[dict[str, Any]] = client.call("ps")
    slots = [str(row["slot"]) for row in rows if row["role"] == "worker" and row["pid"]]
    pids = [str(row["pid"]) for row in rows if row["role"] != "master" and row["pid"]]
    return list(dict.fromkeys([*slots, *pids]))


def _options(words: list[str]) -> list[str]:
    return [declared.name for declared in declarations() if declared.live]


def _instances(words: list[str]) -> list[str]:
    return live_instances()


_KINDS: dict[str, Callable[[list[str]], list[str]]] = {
    "projects": _projects,
    "slots": _slots,
    "options": _options,
    "instances": _instances,
}
