# SPDX-License-Identifier: GPL-2.0-or-later
"""Starting children: by exec, or for workers by an order to the template.

Children that start by exec inherit their channel and nothing else; who they are and the
sockets they need come in their first order. Started as root with `server.setuid`, the
master stays root, as nginx's does (it owns privileged ports and must replace children),
and every child is the user from its first instruction on.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from qgsd import channel, messages, preload, telemetry
from qgsd.channel import MasterEnd
from qgsd.config import declarations
from qgsd.errors import StartError
from qgsd.master.children import ChildRecord, Children
from qgsd.master.snapshot import Role

_MODULES: dict[Role, str] = {
    "http": "qgsd.proxy.http.server",
    "dispatcher": "qgsd.proxy.dispatcher",
    "admin": "qgsd.admin.server",
    "gate": "qgsd.gate.server",
    "template": "qgsd.worker.template",
}


@dataclass(frozen=True)
class User:
    """Whom children run as."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str

    @classmethod
    def named(cls, name: str) -> User:
        """Raises `StartError` for a user that does not exist or that this process may not become."""
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            raise StartError(f"-u/--setuid: there is no user '{name}' on this machine") from None
        if os.geteuid() != 0 and entry.pw_uid != os.geteuid():
            raise StartError(f"-u/--setuid: only root can run children as '{name}'; start qgsd as root")
        groups = os.getgrouplist(name, entry.pw_gid)
        return cls(name, entry.pw_uid, entry.pw_gid, tuple(groups), entry.pw_dir)

    @property
    def group(self) -> str:
        return grp.getgrgid(self.gid).gr_name

    def own(self, path: Path) -> None:
        """Give a file or directory to the user, where that is possible and needed."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid)


class Spawner:
    """Knows how a child of each role is started; the record it returns is not yet registered."""

    def __init__(
        self, children: Children, tmp: Path, user: User | None, answers: Path, preloaded: preload.Wanted
    ) -> None:
        self._children = children
        self._tmp = tmp
        self._user = user
        self._preloaded = preloaded
        # Where workers keep copies of the projects they serve, see `worker.snapshots`.
        self._make_folder(tmp / "projects")
        # Where http children keep answers, see `proxy.http.store`.
        self._answers = answers
        shutil.rmtree(self._answers, ignore_errors=True)
        self._make_folder(self._answers)

    def execute(
        self, role: Role, slot: int, generation: int, listeners: Sequence[int], begin: messages.Begin
    ) -> ChildRecord:
        """Start a child by exec and give it its first order. Raises OSError."""
        record, theirs, log_write = self._record(role, slot, generation)
        # What is secret is told only to who needs it; plugins of QGIS read the environment.
        secret = {name for option in declarations() if option.secret for name in option.variables}
        if role != "http":
            secret.update(telemetry.SECRETS)
        environment = {name: value for name, value in os.environ.items() if name not in secret}
        environment[channel.CHANNEL_VARIABLE] = str(theirs)
        if role == "template":
            environment |= preload.variables(self._preloaded, environment)
        user = {}
        if self._user is not None and os.geteuid() == 0:
            environment |= {"HOME": self._user.home, "USER": self._user.name, "LOGNAME": self._user.name}
            # All three ids and all groups: nothing is left by which to become root again.
            user = {"user": self._user.uid, "group": self._user.gid, "extra_groups": list(self._user.groups)}
        try:
            record.process = subprocess.Popen(
                # -P: a module of the same name in the current directory must not be taken for one of ours.
                [sys.executable, "-P", "-m", _MODULES[role]],
                stdin=subprocess.DEVNULL,
                # The access log of http children goes to our own stdout; nobody else may write there.
                stdout=None if role == "http" else log_write,
                stderr=log_write,
                pass_fds=[theirs],
                env=environment,
                **user,  # type: ignore[call-overload]
            )
        except (OSError, subprocess.SubprocessError) as error:
            self.discard(record)
            os.close(record.log_pipe)
            raise OSError(f"the process for {record.name} cannot be started: {error}") from error
        finally:
            os.close(log_write)
            os.close(theirs)
        self.adopt(record, record.process.pid)
        self._begin(record, begin, listeners)
        return record

    def fork(self, template: ChildRecord, slot: int, begin: messages.Begin, *, reserve: bool) -> ChildRecord:
        """Have the template fork a worker; its pid comes with the template's report.

        Raises `ChannelClosed` when the template has gone.
        """
        record, theirs, log_write = self._record("worker", slot, template.generation)
        record.reserve = reserve
        try:
            order = messages.Fork(record.key, str(record.tmpdir))
            template.channel.send(order, [theirs, log_write])
        except channel.ChannelClosed:
            self.discard(record)
            os.close(record.log_pipe)
            raise
        finally:
            os.close(log_write)
            os.close(theirs)
        self._begin(record, begin, [])
        return record

    def adopt(self, record: ChildRecord, pid: int) -> None:
        """The process of a record is known now. Raises ProcessLookupError when it has gone already."""
        record.pid = pid
        record.pidfd = os.pidfd_open(pid)

    def discard(self, record: ChildRecord) -> None:
        """Free what a record holds outside the process itself. The log pipe is closed by its reader."""
        record.channel.close()
        if record.pidfd is not None:
            os.close(record.pidfd)
            record.pidfd = None
        if record.tmpdir is not None:
            shutil.rmtree(record.tmpdir, ignore_errors=True)

    def _record(self, role: Role, slot: int, generation: int) -> tuple[ChildRecord, int, int]:
        row = self._children.free_row()
        # First what may fail on a full disk: descriptors taken before it would be lost at every try.
        tmpdir = self._make_tmpdir(role, row) if role in ("worker", "template") else None
        ours, theirs = channel.pair()
        log_read, log_write = os.pipe()
        record = ChildRecord(
            key=row,
            role=role,
            slot=slot,
            generation=generation,
            row=self._children.board.row(row),
            channel=MasterEnd(ours),
            started_at=time.monotonic(),
            log_pipe=log_read,
            tmpdir=tmpdir,
        )
        return record, theirs.detach(), log_write

    def _make_tmpdir(self, role: Role, row: int) -> Path:
        path = self._tmp / f"{role}-{row}"
        shutil.rmtree(path, ignore_errors=True)
        return self._make_folder(path)

    def _make_folder(self, path: Path) -> Path:
        path.mkdir(mode=0o700)
        if self._user is not None:
            self._user.own(path)
        return path

    def _begin(self, record: ChildRecord, begin: messages.Begin, listeners: Sequence[int]) -> None:
        order = msgspec.structs.replace(
            begin,
            role=record.role,
            slot=record.slot,
            row=record.key,
            generation=record.generation,
            tmpdir=str(record.tmpdir or ""),
            reserve=record.reserve,
            # Nobody else is at the ends of a connection that they protect.
            keys=begin.keys if record.role in ("dispatcher", "worker", "admin") else [],
            answers=str(self._answers) if record.role == "http" else "",
        )
        record.channel.send(order, [self._children.board.descriptor, *listeners])
