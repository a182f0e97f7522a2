# SPDX-License-Identifier: GPL-2.0-or-later
"""The instance as a daemon: detaching, and finding, asking and stopping one that runs."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from daemon import DaemonContext

from qgsd.config import Loaded
from qgsd.control import Client, ControlError, locate
from qgsd.errors import StartError
from qgsd.master import main as master
from qgsd.master.instance import InstanceRole, check_settings
from qgsd.started import Started, recall

_NOT_RUNNING = 3
_SERVES = b"serves\n"


def start(loaded: Loaded, overrides: Mapping[tuple[str, str], str], role: InstanceRole) -> int:
    """Detach, and return once the instance serves. Raises `StartError` with its reason when it does not."""
    check_settings(loaded.settings, role)
    read, write = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork() == 0:
        os.close(read)
        _become_daemon(loaded, overrides, role, write)
    os.close(write)
    # Only now: the daemon shall have neither the line's thread nor its libraries.
    with os.fdopen(read, "rb") as pipe, _waiting("starting: waiting until it serves"):
        said = pipe.read()
    # The first child only forks again; its end is of no interest, but must not stay a zombie.
    os.wait()
    if said != _SERVES:
        raise StartError(
            said.decode("utf-8", "replace").strip() or "the daemon ended without a word; see its log"
        )
    return 0


@contextlib.contextmanager
def _waiting(message: str) -> Iterator[None]:
    """Tell people at a terminal what is waited for."""
    if not sys.stderr.isatty():
        yield
        return
    from qgsd.control.progress import progress_line

    with progress_line() as tell:
        tell({"message": message})
        yield


def _become_daemon(
    loaded: Loaded, overrides: Mapping[tuple[str, str], str], role: InstanceRole, tell: int
) -> NoReturn:
    status = 1
    try:
        log = _open_log(loaded)
        context = DaemonContext(
            working_directory=os.getcwd(), umask=0o027, files_preserve=[tell], stdout=log, stderr=log,
            signal_map={},
        )  # fmt: skip
        with context:
            master.run(loaded, overrides, role, lambda instance: _tell(tell, _SERVES))
        status = 0
    except StartError as error:
        _tell(tell, str(error).encode())
    except Exception as error:
        _tell(tell, f"unexpected error: {error!r}".encode())
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _open_log(loaded: Loaded):  # type: ignore[no-untyped-def]
    """What goes to stdout and stderr; without a log file nowhere, as for any daemon."""
    path = loaded.settings.logging.file or os.devnull
    try:
        return open(path, "a", encoding="utf-8", buffering=1)
    except OSError as error:
        raise StartError(f"[logging] file: cannot write {path}: {error.strerror}") from error


def _tell(descriptor: int, text: bytes) -> None:
    """One message to the command that waits; after that its end of the pipe must be free."""
    try:
        os.write(descriptor, text)
        os.close(descriptor)
    except OSError:
        # It has been told already, or whoever started us does not wait any more.
        return


# An instance that runs already.


def _pidfile(loaded: Loaded) -> Path:
    return master.pidfile_path(loaded, "proxy" if loaded.settings.server.proxy else "server")


def _client(loaded: Loaded, pidfile: Path) -> Client:
    return Client(locate.control_of(pidfile), timeout=5, key_file=loaded.settings.control.key_file)


def status(loaded: Loaded) -> int:
    """Print whether the instance runs; 0 if so, else 3."""
    pidfile = _pidfile(loaded)
    if not locate.is_live(pidfile):
        print(f"qgsd is not running (pidfile {pidfile})")
        return _NOT_RUNNING
    try:
        with _client(loaded, pidfile) as client:
            told = client.call("status")
    except ControlError as error:
        print(f"qgsd runs (pid {locate.read_pidfile(pidfile).pid}) but does not answer: {error}")
        return 0
    ready, target = told["workers"]["ready"], told["workers"]["target"]
    print(f"qgsd is {told['state']} (pid {told['pid']}), {ready} of {target} workers ready")
    return 0


def started_as(loaded: Loaded) -> Started | None:
    """How the instance was started that runs, or was killed."""
    return recall(_pidfile(loaded))


def stop(loaded: Loaded, *, now: bool, patience: float) -> int:
    """Stop the instance and wait: 0 stopped, 3 it did not run, 1 it still runs after `patience` s."""
    pidfile = _pidfile(loaded)
    if not locate.is_live(pidfile):
        print(f"qgsd is not running (pidfile {pidfile})", file=sys.stderr)
        return _NOT_RUNNING
    pid = locate.read_pidfile(pidfile).pid
    master = _pidfd(pid)
    with _waiting(f"stopping: waiting for pid {pid} to end"):
        _ask_to_stop(loaded, pidfile, now=now)
        ended = master is None or bool(select.select([master], [], [], patience)[0])
    if not ended:
        print(f"qgsd still runs after {patience:g} s; use --now to end it at once", file=sys.stderr)
        return 1
    return 0


def _pidfd(pid: int | None) -> int | None:
    """A descriptor that becomes readable when the master ends; None when it has ended already."""
    try:
        return None if pid is None else os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _ask_to_stop(loaded: Loaded, pidfile: Path, *, now: bool) -> None:
    """By command, or by signal to a master that does not answer."""
    try:
        with _client(loaded, pidfile) as client:
            client.call("stop", now=now)
    except ControlError as error:
        pid = locate.read_pidfile(pidfile).pid
        if pid is None:
            raise StartError(f"the master does not answer ({error}) and {pidfile} names no pid") from error
        os.kill(pid, signal.SIGQUIT if now else signal.SIGTERM)
