# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may use the control sockets: their owner, a group, readers of the second; on TCP holders of a key."""

from __future__ import annotations

import grp
from pathlib import Path

from qgsd import cluster_key
from qgsd.cluster_key import ClusterKey
from qgsd.config import ControlSettings
from qgsd.control import endpoint
from qgsd.control.operations import Refused
from qgsd.errors import StartError


def gid_of(group: str) -> int:
    """Raises `StartError`."""
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise StartError(f"[control]: there is no group '{group}' on this machine") from None


def key_of(settings: ControlSettings) -> ClusterKey | None:
    """The key of control sockets on TCP. Raises `StartError`."""
    if not settings.key_file:
        return None
    return cluster_key.read(Path(settings.key_file), "[control] key_file")[0]


def admit(settings: ControlSettings, control: str, readonly: str) -> None:
    """Let the groups that are named use the sockets, which are bound. Raises `StartError`."""
    for address, group in ((control, settings.group), (readonly, settings.readonly_group)):
        if not address or not group:
            continue
        try:
            endpoint.admit_group(address, None if group == "*" else gid_of(group))
        except OSError as error:
            raise StartError(f"[control]: {address} cannot be given to {group}: {error.strerror}") from error


def check(settings: ControlSettings) -> None:
    """Foreseeable mistakes. Raises `StartError`."""
    key = key_of(settings)
    try:
        for address in filter(None, (settings.address, settings.readonly)):
            endpoint.check_address(address, encrypted=key is not None)
    except Refused as refused:
        raise StartError(f"[control]: {refused.message}") from refused
    if settings.group == "*":
        raise StartError("[control] group: everybody may be let look (readonly_group), but not command")
    for group in {settings.group, settings.readonly_group} - {"", "*"}:
        gid_of(group)


def warnings(settings: ControlSettings) -> list[str]:
    """A line for a control socket that every user of this machine can use."""
    if not settings.address.startswith("tcp://") or settings.key_file:
        return []
    return [
        f"[control] address: every user of this machine may command at {settings.address}; give key_file in "
        "[control], or use a socket (ipc:///PATH)"
    ]
