# SPDX-License-Identifier: GPL-2.0-or-later
"""Landlock: a process gives up files and TCP ports, for itself and all that it starts (landlock(7)).

By ctypes, as in `linux.py`: it is three system calls, and of the packages that wrap them none has had a
release that its makers call finished.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_RULE_PATH, _RULE_PORT = 1, 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE, _IOCTL = 1 << 13, 1 << 14, 1 << 15
# Removing and making, of all kinds of files.
_CHANGE_DIR = sum(1 << bit for bit in range(4, 13))
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_CONNECT = 1 << 1
_NETWORK_SINCE = 4

_libc = ctypes.CDLL(None, use_errno=True)


class _Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64)]


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("descriptor", ctypes.c_int32)]


class _PortRule(ctypes.Structure):
    _fields_ = [("allowed", ctypes.c_uint64), ("port", ctypes.c_uint64)]


def version() -> int:
    """What this kernel has of Landlock: 0 nothing, 1 files, from 4 on ports as well."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)))


def knows_ports() -> bool:
    return version() >= _NETWORK_SINCE


def restrict(readable: Iterable[str], writable: Iterable[str], ports: Iterable[int] | None = None) -> None:
    """From now on nothing but these, and what is below them. Paths that do not exist are left out.

    :param ports: TCP ports that may be connected to; None for any.

    The process must have no_new_privs and one thread only: others would keep their rights. OSError when the
    kernel refuses.
    """
    files = _handled(version())
    ruleset = _Ruleset(files, 0 if ports is None else _CONNECT)
    # Earlier kernels know the first half only.
    size = ctypes.sizeof(_Ruleset) if knows_ports() else ctypes.sizeof(ctypes.c_uint64)
    descriptor = _call(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size), 0)
    try:
        for path in readable:
            _allow(descriptor, path, files & (_EXECUTE | _READ_FILE | _READ_DIR))
        for path in writable:
            _allow(descriptor, path, files & ~_EXECUTE)
        for port in ports or ():
            rule = _PortRule(_CONNECT, port)
            _call(_ADD_RULE, descriptor, _RULE_PORT, ctypes.byref(rule), 0)
        _call(_RESTRICT_SELF, descriptor, 0)
    finally:
        os.close(descriptor)


def _handled(known: int) -> int:
    handled = _EXECUTE | _WRITE_FILE | _READ_FILE | _READ_DIR | _CHANGE_DIR
    return handled | (_REFER if known >= 2 else 0) | (_TRUNCATE if known >= 3 else 0)


def _allow(ruleset: int, path: str, access: int) -> None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
                access &= _OF_FILES
            rule = _PathRule(access, descriptor)
            _call(_ADD_RULE, ruleset, _RULE_PATH, ctypes.byref(rule), 0)
        finally:
            os.close(descriptor)


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"landlock: {os.strerror(code)}")
    return result
