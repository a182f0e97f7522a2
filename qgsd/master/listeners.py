# SPDX-License-Identifier: GPL-2.0-or-later
"""The listening sockets: bound by the master, or inherited from systemd, handed to the children.

The master keeps them open as long as it lives, so a client that connects while a child
is replaced waits in the kernel's queue instead of being refused.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path

from tornado.netutil import bind_sockets, bind_unix_socket

from qgsd.config import ManagementSettings, ServerSettings, Settings
from qgsd.errors import StartError

BACKLOG = 1024
_FIRST_INHERITED = 3


@dataclass
class Listener:
    """A listening socket; `address` as a person writes it."""

    socket: socket.socket
    address: str
    path: Path | None = None

    def close(self) -> None:
        self.socket.close()
        if self.path is not None:
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()


def service_listeners(settings: Settings, environ: MutableMapping[str, str]) -> list[Listener]:
    """The sockets that clients connect to. Raises `StartError` when one cannot be had."""
    inherited = _inherited(environ)
    return inherited or _bind_all("server", settings.server)


def management_listeners(settings: Settings) -> list[Listener]:
    """The sockets of the management port; none where it is off. Raises `StartError`."""
    return _bind_all("management", settings.management) if settings.management.enabled else []


def gate_listener() -> Listener:
    """The socket at which workers ask for other servers: on loopback, for QGIS speaks to proxies by TCP only.

    Raises `StartError`.
    """
    try:
        (bound,) = bind_sockets(0, "127.0.0.1", backlog=BACKLOG)
    except OSError as error:
        raise StartError(f"cannot listen on 127.0.0.1 for the gate ([network]): {error.strerror}") from error
    return Listener(bound, _readable(bound))


def _bind_all(section: str, settings: ServerSettings | ManagementSettings) -> list[Listener]:
    listeners: list[Listener] = []
    try:
        for interface in settings.interfaces:
            listeners += _bind(section, interface, settings.port)
    except StartError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _inherited(environ: MutableMapping[str, str]) -> list[Listener]:
    """Sockets passed by systemd, sd_listen_fds(3). The variables are taken, children must not see them."""
    pid, number = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if not number.isdigit() or (pid and pid != str(os.getpid())):
        return []
    listeners = []
    for descriptor in range(_FIRST_INHERITED, _FIRST_INHERITED + int(number)):
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            raise StartError(
                f"descriptor {descriptor} of LISTEN_FDS is no socket; see the unit's [Socket] section"
            )
        os.set_inheritable(descriptor, False)
        inherited = socket.socket(fileno=descriptor)
        inherited.setblocking(False)
        listeners.append(Listener(inherited, _readable(inherited)))
    return listeners


def _bind(section: str, interface: str, port: int) -> list[Listener]:
    if interface.startswith("unix:"):
        return [_bind_unix(Path(interface.removeprefix("unix:")))]
    host = interface.strip("[]")
    try:
        sockets = bind_sockets(port, host, backlog=BACKLOG)
    except socket.gaierror as error:
        raise StartError(
            f"[{section}] interfaces: '{interface}' is no address of this machine: {error.strerror}"
        ) from error
    except OSError as error:
        hint = _why(error, "--port" if section == "server" else f"[{section}] port")
        raise StartError(f"cannot listen on {interface} port {port}: {hint}") from error
    return [Listener(bound, _readable(bound)) for bound in sockets]


def _bind_unix(path: Path) -> Listener:
    if path.exists() and not path.is_socket():
        raise StartError(f"cannot listen on unix:{path}: a file that is no socket is in the way")
    if path.is_socket() and _answers(path):
        raise StartError(f"cannot listen on unix:{path}: another process listens there")
    try:
        return Listener(bind_unix_socket(str(path), mode=0o666, backlog=BACKLOG), f"unix:{path}", path)
    except OSError as error:
        raise StartError(f"cannot listen on unix:{path}: {error.strerror}") from error


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _why(error: OSError, option: str = "--port") -> str:
    if error.errno == errno.EADDRINUSE:
        return f"the port is in use by another process; choose another with {option}"
    if error.errno == errno.EACCES:
        return "not permitted; ports below 1024 need root or the capability CAP_NET_BIND_SERVICE"
    return error.strerror or str(error)


def _readable(bound: socket.socket) -> str:
    name = bound.getsockname()
    if bound.family == socket.AF_UNIX:
        return f"unix:{name}"
    host = f"[{name[0]}]" if bound.family == socket.AF_INET6 else name[0]
    return f"{host}:{name[1]}"


# Where the dispatcher listens.


def ipc_listener(path: Path) -> Listener:
    """A Unix socket for ZeroMQ at `path`. Raises `StartError`."""
    if path.is_socket() and not _answers(path):
        path.unlink()
    try:
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(str(path))
        bound.listen(BACKLOG)
    except OSError as error:
        raise StartError(f"cannot listen on {path}: {error}") from error
    bound.setblocking(False)
    return Listener(bound, f"ipc://{path}", path)


def workers_listener(settings: Settings, *, encrypted: bool) -> Listener:
    """The socket for the workers of other machines, `zmq.bindaddr`. Raises `StartError`.

    Without a key of the cluster only this machine is let in, unless `zmq.insecure` says otherwise.
    """
    if settings.zmq.bindaddr.startswith("ipc://"):
        return ipc_listener(Path(settings.zmq.bindaddr.removeprefix("ipc://")))
    host, port = parse_tcp(settings.zmq.bindaddr)
    if not (encrypted or settings.zmq.insecure or is_loopback(host)):
        host = "127.0.0.1"
    wildcard = host in ("", "*")
    try:
        (bound, *others) = bind_sockets(port, "0.0.0.0" if wildcard else host, backlog=BACKLOG)
    except (OSError, socket.gaierror) as error:
        raise StartError(f"[zmq] bindaddr: cannot listen on {host}:{port}: {_why(error)}") from error
    for other in others:
        other.close()
    name = bound.getsockname()
    return Listener(bound, f"tcp://{name[0]}:{name[1]}")


def parse_tcp(address: str) -> tuple[str, int]:
    """Host and port of `tcp://HOST:PORT`. Raises `StartError`."""
    host, colon, port = address.removeprefix("tcp://").rpartition(":")
    port = "0" if port == "*" else port
    if not address.startswith("tcp://") or not colon or not port.isdigit() or int(port) > 65535:
        raise StartError(
            f"[zmq] bindaddr: '{address}' is no address; write tcp://HOST:PORT, such as tcp://*:18080"
        )
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    return host == "localhost" or host == "::1" or host.startswith("127.")
