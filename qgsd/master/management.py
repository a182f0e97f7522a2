# SPDX-License-Identifier: GPL-2.0-or-later
"""What the master has to do with the management port: its sockets, its token, what may be wrong with both."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from qgsd.config import ManagementSettings, Settings
from qgsd.errors import StartError
from qgsd.master.snapshot import Role

_MOST_OF_A_TOKEN = 4096


def is_local(interface: str) -> bool:
    """Whether only this machine reaches a port on that interface.

    >>> is_local("127.0.0.1"), is_local("0.0.0.0")
    (True, False)
    """
    return interface.startswith(("unix:", "127.")) or interface in ("localhost", "::1")


def token_of(settings: ManagementSettings) -> str:
    """The token, from wherever it is. Raises `StartError` when its file is no good."""
    if settings.token or not settings.token_file:
        return settings.token
    path = Path(settings.token_file)
    try:
        with path.open(encoding="ascii") as file:
            token = file.read(_MOST_OF_A_TOKEN).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not ASCII"
        raise StartError(f"[management] token_file: {path} cannot be read: {reason}") from error
    if not re.fullmatch(r"[!-~]+", token):
        raise StartError(f"[management] token_file: {path} must hold one word, the token, and nothing else")
    return token


def check(settings: ManagementSettings) -> None:
    """Raises `StartError` when the file of the token is no good."""
    if settings.enabled:
        token_of(settings)


def warnings(settings: ManagementSettings) -> list[str]:
    """A line for a port that other machines reach without a token: they get 401 there.

    No reason not to start: configurations of py-qgis-server, which has no token, listen on 0.0.0.0.
    """
    reachable = [interface for interface in settings.interfaces if not is_local(interface)]
    if not settings.enabled or not reachable or settings.token or settings.token_file:
        return []
    return [
        f"[management] interfaces: other machines reach {reachable[0]}, but are answered 401; set token or "
        "token_file in [management], or listen on 127.0.0.1 only"
    ]


def settings_for(role: Role, settings: Settings) -> Settings:
    """The settings as a child of that role gets them: none but the admin knows the token, and none the key.

    Who needs the key has it from `Begin`. The file of the token may be readable for the master only. Raises
    `StartError`.
    """
    token = token_of(settings.management) if role == "admin" else ""
    own = replace(settings.management, token=token, token_file="")  # nosec B106
    return replace(settings, management=own, zmq=replace(settings.zmq, key="", key_file=""))
