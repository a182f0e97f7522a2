# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses of control sockets: which are allowed, how one is bound, why one does not answer.

Whoever can write to the control socket owns the instance, so it is a socket file of mode
0600 (0660 for a named group), a TCP port under a key, or one of the loopback interface.
ZeroMQ deletes an existing socket file before it binds, even one that another process
listens on; so we look first. In a folder where others may remove it, it is not made.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import stat
from pathlib import Path

import zmq
import zmq.asyncio

from qgsd.control.operations import Refused

CODE = "bad_address"

_PROBE_TIMEOUT = 1.0


def check_address(address: str, *, encrypted: bool = False) -> str:
    """The address to bind; raises `Refused` when it is none, or would be reachable by others.

    Where it is `encrypted`, under a key, other machines may reach it.

    >>> check_address("tcp://localhost:7000")
    'tcp://127.0.0.1:7000'
    """
    scheme, separator, rest = address.partition("://")
    if separator and scheme == "ipc":
        return _check_ipc(address, rest)
    if separator and scheme == "tcp":
        return _check_tcp(address, rest, encrypted)
    raise Refused(CODE, f"control address {address!r}: write ipc:///PATH or tcp://127.0.0.1:PORT")


def _check_ipc(address: str, path: str) -> str:
    if not path or path.startswith(("@", "*")):
        raise Refused(CODE, f"control address {address!r}: ipc:// wants the path of a socket file")
    if len(os.fsencode(path)) > zmq.IPC_PATH_MAX_LEN:
        limit = zmq.IPC_PATH_MAX_LEN
        raise Refused(CODE, f"control address {address!r}: the path of a socket has at most {limit} bytes")
    return address


def _check_tcp(address: str, rest: str, encrypted: bool) -> str:
    host, separator, port = rest.rpartition(":")
    if not separator or not (port == "*" or (port.isascii() and port.isdigit() and int(port) < 65536)):
        raise Refused(CODE, f"control address {address!r}: the port is missing or is not a number")
    host = "127.0.0.1" if host.lower() == "localhost" else host
    try:
        loopback = ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        loopback = False
    if not loopback and not encrypted:
        raise Refused(
            CODE,
            f"control address {address!r}: without a key TCP is allowed on 127.0.0.1, ::1 and localhost "
            "only; give key_file in [control] (`qgsd keygen` makes one), or come through ssh",
        )
    return f"tcp://{host}:{port}"


def bind(sock: zmq.asyncio.Socket, address: str) -> str:
    """Bind a checked address and return it as clients write it (a port `*` filled in).

    The socket file gets mode 0600, its directory is made (0700) when missing; a socket file
    that nobody listens on is replaced. Raises `Refused` when the address is taken or cannot be bound.
    """
    path = ipc_path(address)
    if path is not None:
        _clear(path)
    sock.setsockopt(zmq.IPV6, int("[" in address))
    # The umask is the only way to have the mode right from the first moment. It is the
    # process's: nothing else creates files meanwhile, since bind returns without waiting.
    previous = os.umask(0o177)
    try:
        sock.bind(address)
    except zmq.ZMQError as error:
        raise Refused(CODE, f"cannot bind the control socket {address}: {error}") from None
    finally:
        os.umask(previous)
    return address if path is not None else str(sock.getsockopt_string(zmq.LAST_ENDPOINT)).rstrip("\0")


def release(address: str) -> None:
    """Remove the socket file of a bound address, which ZeroMQ leaves.

    To be called while the socket is still bound: afterwards the file could be another's.
    """
    path = ipc_path(address)
    if path is not None:
        with contextlib.suppress(OSError):
            path.unlink()


def _clear(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = path.parent.stat().st_mode
        if folder & stat.S_IWOTH and not folder & stat.S_ISVTX:
            raise Refused(CODE, f"control socket {path}: everybody could replace it; chmod o-w {path.parent}")
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise Refused(CODE, f"cannot make the control socket {path}: {error.strerror}") from None
    if not stat.S_ISSOCK(mode):
        raise Refused(CODE, f"cannot make the control socket {path}: it exists and is not a socket")
    if knock(path) not in (errno.ECONNREFUSED, errno.ENOENT):
        raise Refused(CODE, f"another process listens on the control socket {path}")
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise Refused(CODE, f"another user's socket is in the way: {path}: {error.strerror}") from None


def admit_group(address: str, gid: int | None) -> None:
    """Let a group use a socket file that is bound; None for everybody. OSError when that is not permitted."""
    path = ipc_path(address)
    if path is None:
        return
    if gid is not None:
        os.chown(path, -1, gid)
    path.chmod(0o666 if gid is None else 0o660)


def ipc_path(address: str) -> Path | None:
    """The socket file of an ipc address, None for others."""
    return Path(address.removeprefix("ipc://")) if address.startswith("ipc://") else None


def knock(path: Path) -> int:
    """Connect to a socket file and hang up: 0 if someone listens, else the errno."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_TIMEOUT)
        try:
            return probe.connect_ex(os.fspath(path))
        except TimeoutError:
            return errno.ETIMEDOUT
        except OSError as error:
            return error.errno or errno.EINVAL


def explain_silence(address: str) -> str:
    """Why nobody answers at an address, in a sentence."""
    path = ipc_path(address)
    problem = None if path is None else knock(path)
    if problem == errno.ENOENT:
        return f"no master answers: there is no socket {path}"
    if problem == errno.ECONNREFUSED:
        return f"no master answers: nobody listens on {path}; its master is gone"
    if problem in (errno.EACCES, errno.EPERM):
        return f"no permission to use {path}: run this as the user of the instance, or as root"
    if problem:
        return f"no master answers at {address}: {os.strerror(problem)}"
    return f"no master answers at {address}"
