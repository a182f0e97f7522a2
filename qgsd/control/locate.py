# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a local instance keeps its pidfile and its control socket, and which ones live.

An instance NAME has, in the runtime directory:

    NAME.pid            first line the pid, second line the control address in use;
                        the living master holds flock(LOCK_EX) on it
    NAME.run/control    its control socket, unless configured otherwise

The lock, not the pid, says that an instance lives: the kernel drops it with the process,
while a pid may belong to someone else by now. Looking takes a shared lock for an instant,
so a master that finds its pidfile locked should try again a few times before it gives up.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from qgsd.control.errors import BadUsage, NoMaster

DEFAULT_INSTANCE = "qgsd"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SUFFIX = ".pid"
_LARGEST = 4096
_ROOTS = Path("/run/qgsd")


class PidFile(NamedTuple):
    """What a pidfile says; None where it says nothing (yet)."""

    pid: int | None
    control: str | None


def runtime_directory() -> Path:
    """/run/qgsd for root, $XDG_RUNTIME_DIR/qgsd for others, /tmp/qgsd-UID where that is not set."""
    if os.geteuid() == 0:
        return _ROOTS
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime, "qgsd")
    # Anyone can make it there first: `_is_ours` looks whose it is.
    return Path(f"/tmp/qgsd-{os.geteuid()}")  # nosec B108


def make_runtime_directory() -> Path:
    """The runtime directory, made if missing: 0755 for root, else 0700.

    Raises `BadUsage` if someone else made it, as anyone can in /tmp, and OSError.
    """
    directory = runtime_directory()
    directory.mkdir(mode=0o755 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    if not _is_ours(directory):
        raise BadUsage(
            "untrusted", f"{directory} belongs to another user; set XDG_RUNTIME_DIR to one of yours"
        )
    return directory


def pidfile_of(instance: str = DEFAULT_INSTANCE) -> Path:
    """The pidfile of an instance; raises `BadUsage` for an impossible name."""
    if not _NAME.fullmatch(instance):
        raise BadUsage(
            "bad_instance", f"{instance!r} cannot name an instance: letters, digits, '-', '_' and '.' can"
        )
    return runtime_directory() / f"{instance}{_SUFFIX}"


def run_directory_of(pidfile: Path) -> Path:
    """The directory of sockets beside a pidfile.

    >>> run_directory_of(Path("/run/qgsd/maps.pid"))
    PosixPath('/run/qgsd/maps.run')
    """
    return pidfile.with_name(pidfile.name.removesuffix(_SUFFIX) + ".run")


def default_control(pidfile: Path) -> str:
    """The control address of the instance with this pidfile, where none is configured."""
    return f"ipc://{run_directory_of(pidfile) / 'control'}"


def read_pidfile(pidfile: Path) -> PidFile:
    """What the pidfile says; nothing if it is missing, unreadable or not a pidfile."""
    try:
        with pidfile.open("rb") as file:
            lines = file.read(_LARGEST).decode("utf-8", "replace").splitlines()
    except OSError:
        return PidFile(None, None)
    lines += ["", ""]
    first, second = lines[0].strip(), lines[1].strip()
    pid = int(first) if first.isascii() and first.isdigit() and len(first) < 11 else None
    return PidFile(pid, second or None)


def is_live(pidfile: Path) -> bool:
    """Whether a master holds this pidfile."""
    try:
        file = pidfile.open("rb")
    except OSError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False


def live_instances() -> list[str]:
    """The names of the instances of this user that live now, sorted."""
    directory = runtime_directory()
    if not _is_ours(directory):
        return []
    found = sorted(directory.glob(f"*{_SUFFIX}"))
    return [file.name.removesuffix(_SUFFIX) for file in found if is_live(file)]


def control_of(pidfile: Path) -> str:
    """The control address of the live instance with this pidfile; raises `NoMaster`."""
    if not is_live(pidfile):
        raise NoMaster(f"no instance runs with the pidfile {pidfile}")
    return read_pidfile(pidfile).control or default_control(pidfile)


def find_control(instance: str | None = None) -> str:
    """The control address of the named instance; without a name of `qgsd`, or of the only one that lives.

    Raises `NoMaster` if it does not live, `BadUsage` if there are several to choose from.
    """
    live = live_instances()
    if instance not in live and (shared := _shared_with_us(instance)):
        return shared
    if instance is not None:
        pidfile = pidfile_of(instance)
        if instance not in live:
            start = f"start it with `qgsd start --instance {instance}`"
            raise NoMaster(f"no instance {instance!r} runs (pidfile {pidfile}); {start}")
        return control_of(pidfile)
    if not live:
        raise NoMaster(_nothing_found())
    if DEFAULT_INSTANCE in live:
        return control_of(pidfile_of(DEFAULT_INSTANCE))
    if len(live) > 1:
        raise BadUsage("several_instances", f"several instances run ({', '.join(live)}): say --instance NAME")
    return control_of(runtime_directory() / f"{live[0]}{_SUFFIX}")


def _shared_with_us(instance: str | None) -> str | None:
    """The control address of the one instance of root that lets our group command ([control] group)."""
    if os.geteuid() == 0 or not _is_ours(_ROOTS):
        return None
    if instance is None and live_instances():
        return None
    pidfiles = sorted(_ROOTS.glob(f"*{_SUFFIX}"))
    named = [
        file for file in pidfiles if instance in (None, file.name.removesuffix(_SUFFIX)) and is_live(file)
    ]
    addresses = [read_pidfile(file).control or default_control(file) for file in named]
    usable = [address for address in addresses if os.access(address.removeprefix("ipc://"), os.W_OK)]
    return usable[0] if len(usable) == 1 else None


def _nothing_found() -> str:
    directory = runtime_directory()
    text = f"no instance of qgsd runs (no live pidfile in {directory}); start one with `qgsd start`"
    if os.geteuid() != 0 and any(_ROOTS.glob(f"*{_SUFFIX}")):
        text += ", or reach the one of root with sudo"
    return text


def _is_ours(directory: Path) -> bool:
    """Whether it was made by this user or root, or only root could have it made for another.

    In /tmp others can be quicker. In /run systemd makes it for the user of the unit.
    """
    try:
        mine = directory.lstat().st_uid in (0, os.geteuid())
        above = directory.parent.stat()
        given = above.st_uid == 0 and not above.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        return (mine or (os.geteuid() == 0 and given)) and not directory.is_symlink()
    except OSError:
        return False
