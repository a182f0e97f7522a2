# SPDX-License-Identifier: GPL-2.0-or-later
"""Stopping an instance and seeing it gone (client side).

The answer to `stop` only says that it was accepted; the end is that of the process,
which no message can report. On the same machine a pidfd tells it, immune to a pid that
is given to someone else; through TCP, or from another pid namespace, the silence of
the socket has to do.
"""

from __future__ import annotations

import os
import select
import time
from typing import Any

from qgsd.control.client import Client
from qgsd.control.endpoint import ipc_path, knock
from qgsd.control.errors import CommandFailed, NoMaster
from qgsd.control.operations import Progress
from qgsd.control.protocol import ErrorCode

_LOOK_EVERY = 0.2


def stop_and_wait(
    client: Client, args: dict[str, Any], *, wait: bool, on_progress: Progress
) -> dict[str, Any]:
    """Ask for the stop and return when the master has gone, or at once without `wait`.

    Waits as long as the client's timeout; raises `CommandFailed` (code `timeout`) after it.
    """
    deadline = time.monotonic() + client.timeout
    pid = int(client.call("status")["pid"])
    handle = _open_pidfd(client, pid)
    try:
        answer = _ask(client, args, on_progress)
        if not wait:
            return {**answer, "pid": pid, "stopped": False}
        on_progress({"message": f"waiting for pid {pid} to end"})
        gone = _ended(handle, deadline) if handle is not None else _silent(client.address, deadline)
    finally:
        if handle is not None:
            os.close(handle)
    if not gone:
        raise CommandFailed(
            ErrorCode.TIMEOUT, f"qgsd (pid {pid}) accepted the stop but still runs after {client.timeout:g} s"
        )
    return {**answer, "pid": pid, "stopped": True}


def _ask(client: Client, args: dict[str, Any], on_progress: Progress) -> dict[str, Any]:
    try:
        answer = client.call("stop", on_progress=on_progress, **args)
    except NoMaster:
        # It answered `status` a moment ago: it left before it could answer this.
        return {}
    except CommandFailed as error:
        if error.code != ErrorCode.STOPPING:
            raise
        return {}
    return answer if isinstance(answer, dict) else {}


def _open_pidfd(client: Client, pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None if it cannot be seen from here."""
    if ipc_path(client.address) is None:
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _ended(pidfd: int, deadline: float) -> bool:
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(max(0.0, deadline - time.monotonic()) * 1000))


def _silent(address: str, deadline: float) -> bool:
    while not _is_silent(address):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_EVERY)
    return True


def _is_silent(address: str) -> bool:
    path = ipc_path(address)
    if path is not None:
        return knock(path) != 0
    try:
        with Client(address, connect_timeout=1.0) as client:
            client.connect()
    except NoMaster:
        return True
    return False
