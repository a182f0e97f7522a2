# SPDX-License-Identifier: GPL-2.0-or-later
"""What an instance is made of before it has children: its role, names, sockets and folders."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from qgsd import allocator, landlock, png
from qgsd.cluster_key import ClusterKey, keys_of
from qgsd.config import ConfineSettings, Loaded, Settings
from qgsd.errors import StartError
from qgsd.master import control_access, listeners, management
from qgsd.master.listeners import Listener
from qgsd.master.pidfile import PidFile
from qgsd.master.proxies import Proxies
from qgsd.master.resolver import endpoint
from qgsd.master.snapshot import Role
from qgsd.master.spawn import User
from qgsd.messages import Begin, Tls
from qgsd.tls import management_tls, service_tls

InstanceRole = Literal["server", "proxy", "worker"]


@dataclass
class Instance:
    """One qgsd on this machine. `server` does all, `proxy` has no workers, `worker` has nothing else."""

    role: InstanceRole
    name: str
    loaded: Loaded
    overrides: Mapping[tuple[str, str], str]
    pidfile: PidFile
    control: str
    user: User | None = None
    service: list[Listener] = field(default_factory=list)
    front: Listener | None = None
    behind: list[Listener] = field(default_factory=list)
    management: list[Listener] = field(default_factory=list)
    gate: Listener | None = None
    # By which http children know requests that workers of ours have sent.
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    # Tells this master's workers from those of another one on a machine of the same name: in containers
    # process ids are the same each time.
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    # Of the cluster, the one in use first; none where nothing is encrypted.
    keys: list[ClusterKey] = field(default_factory=list)
    tls: dict[Role, Tls | None] = field(default_factory=dict)
    # Called once, when the instance can answer.
    on_serving: Callable[[], None] = lambda: None

    @property
    def settings(self) -> Settings:
        return self.loaded.settings

    @property
    def has_http(self) -> bool:
        return self.role != "worker"

    @property
    def has_workers(self) -> bool:
        return self.role != "proxy"

    @property
    def has_admin(self) -> bool:
        return self.settings.management.enabled

    @property
    def metrics(self) -> Path:
        """The folder in which http children count."""
        return self.pidfile.directory / "metrics"

    @property
    def tmp(self) -> Path:
        return self.pidfile.directory / "tmp"

    @property
    def answers(self) -> Path:
        """Where http children keep answers."""
        folder = self.settings.answers.folder
        return Path(folder) / f"{self.name}.answers" if folder else self.tmp / "answers"

    @property
    def machine(self) -> str:
        """The name of this machine, where workers and proxy are on different ones; else empty."""
        return (self.settings.worker.name or _host_name()) if self.role == "worker" else ""

    def __post_init__(self) -> None:
        remote = self.settings.worker
        # Where the workers of a worker machine find their dispatchers.
        self.proxies = Proxies([endpoint(remote.host, remote.port)], self.machine, time.monotonic())

    @property
    def back(self) -> list[str]:
        """Where the dispatchers of our workers are."""
        return self.proxies.addresses if self.role == "worker" else [self.behind[0].address]

    def back_of(self, role: Role, slot: int) -> list[str]:
        """Where a child finds its dispatcher, or as a dispatcher listens for workers."""
        if self.role == "worker":
            return [self.proxies.of_slot(slot, time.monotonic())] if role == "worker" else []
        return [listener.address for listener in self.behind]

    def worker_name(self, slot: int, pid: int | None) -> str:
        """The name by which a worker of ours joins a dispatcher."""
        return f"{self.settings.zmq.identity}:{self.machine}:{slot}:{pid}.{self.run}"

    def open(self) -> None:
        """Bind everything and make the folders. Raises `StartError`; `close` undoes it."""
        self.keys = keys_of(self.settings.zmq)
        self.tls = self.read_tls(self.settings)
        directory = self.pidfile.directory
        self.tmp.mkdir()
        self.tmp.chmod(0o711)
        self.give_logs_to_user()
        if self.has_http:
            self.service = listeners.service_listeners(self.settings, os.environ)
            self.front = listeners.ipc_listener(directory / "front")
            self.behind = [listeners.ipc_listener(directory / "back")]
            if self.role == "proxy":
                self.behind.append(listeners.workers_listener(self.settings, encrypted=bool(self.keys)))
        for listener in [self.front, *self.behind]:
            if listener is not None and listener.path is not None:
                self._admit(listener.path)
        self.management = listeners.management_listeners(self.settings)
        if self.has_workers and self.settings.network.gate:
            self.gate = listeners.gate_listener()
        if self.has_admin:
            self.metrics.mkdir(mode=0o700)
            if self.user is not None:
                self.user.own(self.metrics)

    def give_logs_to_user(self) -> None:
        """http children write the access log themselves, as the user they run as. Raises `StartError`."""
        logging = self.settings.logging
        files = {logging.file, logging.access} - {"", "-", "off"}
        if self.user is None:
            return
        for name in files:
            path = Path(name)
            try:
                path.touch()
                self.user.own(path)
            except OSError as error:
                raise StartError(f"[logging]: cannot write {path}: {error.strerror}") from error

    def admit_admin(self, control: str) -> None:
        """Let the admin child, which may run as another user, use the control socket."""
        if self.has_admin and control.startswith("ipc://"):
            self._admit(Path(control.removeprefix("ipc://")))

    def _admit(self, path: Path) -> None:
        path.chmod(0o600)
        if self.user is not None:
            self.user.own(path)

    def descriptors_for(self, role: Role) -> list[int]:
        """The sockets that a child of this role works on."""
        if role == "http":
            return [listener.socket.fileno() for listener in self.service]
        if role == "dispatcher":
            assert self.front is not None
            return [listener.socket.fileno() for listener in (self.front, *self.behind)]
        if role == "admin":
            return [listener.socket.fileno() for listener in self.management]
        if role == "gate" and self.gate is not None:
            return [self.gate.socket.fileno()]
        return []

    def begin(self, role: Role, slot: int, settings: Settings) -> Begin:
        """The first order, as far as the instance makes it. Raises `StartError`."""
        return Begin(
            role=role, slot=slot, row=0, generation=0, instance=self.name, machine=self.machine,
            settings=encoded_for(role, settings),
            front=self.front.address if self.front else "", back=self.back_of(role, slot),
            token=self.token, run=self.run,
            keys=[key.secret for key in (self._control_keys() if role == "admin" else self.keys)],
            control=self.control if role == "admin" else "",
            gate=self.gate.address if self.gate and role in ("template", "worker") else "",
            ports=self._ports() if role == "gate" else [],
            tls=self.tls.get(role),
            metrics=str(self.metrics) if self.has_admin and role in ("http", "admin") else "",
        )  # fmt: skip

    def _ports(self) -> list[int]:
        """Those of TCP on which we serve."""
        names = (listener.socket.getsockname() for listener in self.service)
        return [name[1] for name in names if isinstance(name, tuple)]

    def _control_keys(self) -> list[ClusterKey]:
        key = control_access.key_of(self.settings.control)
        return [key] if key else []

    def read_tls(self, settings: Settings) -> dict[Role, Tls | None]:
        """What the files of certificates say now. Raises `StartError`."""
        return {
            "http": service_tls(settings) if self.has_http else None,
            "admin": management_tls(settings.management),
        }

    def stop_listening(self) -> None:
        """Refuse new clients; those that are connected stay with their http child."""
        for listener in self.service:
            listener.close()
        self.service = []

    def close(self) -> None:
        self.stop_listening()
        for listener in [self.front, self.gate, *self.behind, *self.management]:
            if listener is not None:
                listener.close()
        if self.has_http:
            shutil.rmtree(self.answers, ignore_errors=True)
        self.pidfile.remove()


def _host_name() -> str:
    """Of this machine, without the letters that part a worker's name."""
    return socket.gethostname().replace(":", "-").replace("/", "-")


def encoded_for(role: Role, settings: Settings) -> bytes:
    """The settings as a message to a child of that role carries them. Raises `StartError`."""
    return msgspec.msgpack.encode(management.settings_for(role, settings))


def _check_root(root: str) -> None:
    if not os.path.isdir(root):
        what = "is not a folder" if os.path.exists(root) else "does not exist"
        raise StartError(
            f"[cache] rootdir: {root} {what}; give the folder with your projects (--rootdir PATH)"
        )
    if not os.access(root, os.R_OK | os.X_OK):
        raise StartError(f"[cache] rootdir: {root} cannot be read by this user")


def check_settings(settings: Settings, role: InstanceRole) -> None:
    """Foreseeable mistakes, found before anything is started. Raises `StartError`."""
    for root in settings.cache.rootdir:
        _check_root(root)
    if role == "worker" and not settings.worker.host:
        raise StartError("a worker needs to know its proxy: --host HOST")
    keys = keys_of(settings.zmq)
    if role == "worker" and not keys and not settings.zmq.insecure:
        _check_nearness(settings.worker.host)
    if (folder := settings.answers.folder) and not os.access(folder, os.W_OK | os.X_OK):
        raise StartError(f"[answers] folder: {folder} is not there or cannot be written to")
    if settings.server.ssl and role != "worker":
        service_tls(settings)
    management.check(settings.management)
    control_access.check(settings.control)
    _check_allocator(settings.server.allocator)
    if role != "proxy" and (problem := png.problem(settings.server.png)):
        raise StartError(f"[server] png={settings.server.png}: {problem}; or write png={png.QGIS}")
    _check_confinement(settings.confine)
    management_tls(settings.management)


def _check_confinement(settings: ConfineSettings) -> None:
    if settings.files and not landlock.version():
        raise StartError("[confine] files: this kernel has no Landlock, or it is switched off (lsm=)")
    if settings.ports and not landlock.knows_ports():
        raise StartError("[confine] ports: this kernel's Landlock does not know ports yet (Linux 6.7)")


def _check_allocator(choice: str) -> None:
    if choice not in (allocator.AUTO, allocator.SYSTEM) and not os.path.isfile(choice):
        raise StartError(
            f"[server] allocator: there is no library {choice}; jemalloc is Debian's package libjemalloc2"
        )


def _check_nearness(host: str) -> None:
    if not listeners.is_loopback(host):
        raise StartError(
            f"the proxy {host} is another machine and the connection would not be encrypted: make a key with "
            "`qgsd keygen` and give its file to both as key_file in [zmq] (--key-file PATH); or write "
            "insecure=yes in [zmq] if the network between them is yours alone"
        )
