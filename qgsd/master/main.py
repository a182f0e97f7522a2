# SPDX-License-Identifier: GPL-2.0-or-later
"""The life of a master: lock, bind, supervise, clean up. Everything it made is gone when it returns."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import setproctitle

from qgsd import extensions, messages, started
from qgsd.cluster_key import ClusterKey
from qgsd.config import Loaded, render
from qgsd.control import locate
from qgsd.control.errors import BadUsage
from qgsd.control.operations import Refused
from qgsd.control.server import ControlServer
from qgsd.errors import StartError
from qgsd.log import MasterLog
from qgsd.master import control_access, management, membership
from qgsd.master.fleet_operations import FleetOperations
from qgsd.master.instance import Instance, InstanceRole, check_settings
from qgsd.master.membership import Membership
from qgsd.master.notify import Notifier
from qgsd.master.pidfile import PidFile
from qgsd.master.spawn import User
from qgsd.master.supervisor import Supervisor
from qgsd.master.triggers import Triggers

logger = logging.getLogger("qgsd.master")

# A Unix socket's path may have 107 bytes (unix(7)); the longest of ours ends in "/control".
_LONGEST_SOCKET_PATH = 107


def instance_name(loaded: Loaded, role: InstanceRole) -> str:
    """The instance's name: as configured; otherwise one that two masters share only if they are the same.

    A control address of its own makes an instance of its own. Worker machines are often
    many on one host and nameless, so each is one.
    """
    settings = loaded.settings
    if loaded.sources["server", "instance"] != "default":
        return settings.server.instance
    if settings.control.address:
        digest = hashlib.sha256(settings.control.address.encode()).hexdigest()[:12]
        return f"{settings.server.instance}-{digest}"
    return f"worker-{os.getpid()}" if role == "worker" else settings.server.instance


def pidfile_path(loaded: Loaded, role: InstanceRole) -> Path:
    """Where the pidfile is. Raises `StartError` for a name that cannot be one."""
    configured = loaded.settings.server.pidfile
    if configured:
        return Path(configured)
    try:
        locate.make_runtime_directory()
        return locate.pidfile_of(instance_name(loaded, role))
    except BadUsage as error:
        raise StartError(str(error)) from error
    except OSError as error:
        raise StartError(f"cannot make {locate.runtime_directory()}: {error.strerror}") from error


def run(
    loaded: Loaded,
    overrides: Mapping[tuple[str, str], str],
    role: InstanceRole,
    on_serving: Callable[[Instance], None] = lambda instance: None,
) -> None:
    """Be the master until stopped. Raises `StartError` when the instance cannot start."""
    settings = loaded.settings
    check_settings(settings, role)
    user = User.named(settings.server.setuid) if settings.server.setuid else None
    _sweep()
    pidfile = PidFile(pidfile_path(loaded, role))
    instance = Instance(
        role=role,
        name=instance_name(loaded, role),
        loaded=loaded,
        overrides=overrides,
        pidfile=pidfile,
        control=settings.control.address or locate.default_control(pidfile.path),
        user=user,
    )
    instance.on_serving = lambda: on_serving(instance)
    try:
        _check_length(pidfile.directory / "control")
        instance.open()
        started.remember(pidfile.directory, loaded.path, overrides)
        asyncio.run(_Master(instance).run())
    finally:
        instance.close()


def _sweep() -> None:
    """Remove what masters left behind that were killed and will not come back under their name."""
    directory = locate.runtime_directory()
    for stale in directory.glob("worker-*.pid"):
        if not locate.is_live(stale):
            try:
                PidFile(stale).remove()
            except StartError:
                continue


def _check_length(path: Path) -> None:
    if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
        raise StartError(
            f"{path} is too long for a socket ({_LONGEST_SOCKET_PATH} bytes are possible); "
            "choose a shorter --pidfile or --instance"
        )


class _Master:
    """Supervisor, control socket and service manager, joined for the time of the run."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.notifier = Notifier(os.environ)
        self.log = MasterLog(instance.settings.logging.level, instance.settings.logging.file)
        told = [
            *management.warnings(instance.settings.management),
            *control_access.warnings(instance.settings.control),
        ]
        for warning in (*render.warnings(instance.loaded), *extensions.policies_in_vain(), *told):
            logger.warning("%s", warning.removeprefix("warning: "))
        self.tasks: set[asyncio.Task[Any]] = set()
        self._fed_watchdog = 0.0
        server = instance.settings.server
        plugins = server.pluginpath or os.environ.get("QGIS_PLUGINPATH", "")
        self.triggers = Triggers(server.restartmon, plugins if instance.has_workers else "")

    async def run(self) -> None:
        setproctitle.setproctitle(f"qgsd: master [{self.instance.name}]")
        await membership.look_up(self.instance)
        self.supervisor = Supervisor(self.instance)
        self.operations = FleetOperations(self.supervisor)
        self.membership = self._membership()
        self._preload()
        self.controls: list[ControlServer] = []
        await self._open_controls()
        self._tell_starter = self.instance.on_serving
        self.instance.on_serving = self._announce
        try:
            self._spawn(self._watch_triggers())
            if self.membership is not None:
                self._spawn(self.membership.follow_names())
            await self.supervisor.run(self._on_signal, self._on_turn)
            await self._let_children_finish_speaking()
            self.supervisor.exits.raise_startup_failure()
        finally:
            for control in self.controls:
                await control.close()
            if self.membership is not None:
                self.membership.leave()
            elif self.supervisor.link is not None:
                self.supervisor.link.close()

    def _membership(self) -> Membership | None:
        """In a fleet, if this is a worker machine."""
        link = self.supervisor.link
        if self.instance.role != "worker" or link is None:
            return None
        return Membership(self.operations, link)

    def _preload(self) -> None:
        try:
            self.operations.preload()
        except Refused as error:
            raise StartError(error.message) from error

    async def _open_controls(self) -> None:
        instance, settings = self.instance, self.instance.settings.control
        key = control_access.key_of(settings)
        control = await self._open_control("address", instance.control, key)
        readonly = ""
        if settings.readonly:
            readonly = await self._open_control("readonly", settings.readonly, key, readonly=True)
        instance.control = control
        instance.admit_admin(control)
        control_access.admit(settings, control, readonly)
        instance.pidfile.write(control)

    async def _open_control(
        self, option: str, address: str, key: ClusterKey | None, *, readonly: bool = False
    ) -> str:
        """The address to connect to. Raises `StartError`."""
        try:
            control = ControlServer(address, self.operations, readonly=readonly, key=key)
            await control.start()
        except Refused as error:
            raise StartError(f"[control] {option}: {error.message}") from error
        self.controls.append(control)
        return control.address

    def _announce(self) -> None:
        self.notifier.ready()
        self._tell_starter()
        if self.instance.role == "proxy":
            self._tell_where_workers_connect()
        listen = ", ".join(listener.address for listener in self.instance.service) or "its proxy"
        logger.info("instance %s serves on %s", self.instance.name, listen)
        if self.instance.management:
            ports = ", ".join(listener.address for listener in self.instance.management)
            logger.info("its management port is %s", ports)

    def _tell_where_workers_connect(self) -> None:
        settings = self.instance.settings.zmq
        logger.info("workers connect to %s", self.instance.behind[-1].address)
        if not settings.insecure and not self.instance.keys:
            logger.warning(
                "workers of other machines are not let in without a key of the cluster, see [zmq] key_file"
            )

    async def _let_children_finish_speaking(self) -> None:
        """The last words of children that have ended may still be in their pipes."""
        logs = [task for task in asyncio.all_tasks() if task.get_name() == "child log"]
        if logs:
            await asyncio.wait(logs, timeout=1.0)

    def _on_turn(self) -> None:
        self._feed_watchdog()
        self.supervisor.machines.turn()
        if self.membership is not None:
            self.membership.turn()
        if self.supervisor.stopping != "no":
            self.notifier.status("stopping")
            return
        counts = self.operations.worker_counts()
        waiting = self.operations.waiting()
        self.notifier.status(f"{counts.ready} of {counts.target} workers ready, {waiting} requests waiting")

    def _feed_watchdog(self) -> None:
        seconds, now = self.notifier.watchdog_seconds, time.monotonic()
        if seconds is not None and now - self._fed_watchdog > seconds / 3:
            self._fed_watchdog = now
            self.notifier.alive()

    def _on_signal(self, name: str) -> None:
        logger.info("SIG%s received", name)
        operations = self.operations
        match name:
            case "HUP":
                self._spawn(self._reload())
            case "TERM":
                self.notifier.stopping()
                operations.begin_stop(now=False)
            case "INT" | "QUIT":
                self.notifier.stopping()
                operations.begin_stop(now=True)
            case "USR1":
                self._reopen_logs()
            case "USR2":
                self._spawn(operations.restart(wait=True, progress=_ignore, here=True))
            case "TTIN" | "TTOU":
                change = 1 if name == "TTIN" else -1
                self._spawn(operations.scale(change, relative=True, wait=False, progress=_ignore))

    def _reopen_logs(self) -> None:
        """Files of the same names, where the user of the http children may have to be given new ones."""
        try:
            self.instance.give_logs_to_user()
        except StartError as error:
            logger.error("%s", error)
        self.log.reopen()
        for record in self.supervisor.children:
            if record.role == "http":
                self.supervisor.tell(record, messages.ReopenLogs())

    async def _watch_triggers(self) -> None:
        while self.supervisor.stopping == "no":
            await asyncio.sleep(self.supervisor.settings.server.restartmon_check_time / 1000)
            # In a thread: a network file system may take its time.
            reason = await asyncio.to_thread(self.triggers.changed)
            if reason and self.supervisor.stopping == "no":
                self.supervisor.events.add("restart.triggered", reason)
                await self.operations.restart(wait=True, progress=_ignore)

    async def _reload(self) -> None:
        self.notifier.reloading()
        try:
            await self.operations.reload(None, wait=True, progress=_ignore)
        finally:
            self.notifier.ready()

    def _spawn(self, operation: Coroutine[Any, Any, object]) -> None:
        async def guarded() -> None:
            try:
                await operation
            except Refused as refused:
                logger.error("not done: %s", refused.message)

        task = asyncio.create_task(guarded())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


def _ignore(progress: dict[str, Any]) -> None:
    """A signal's effect has nobody to tell its progress to."""
