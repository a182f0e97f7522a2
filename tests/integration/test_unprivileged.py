# SPDX-License-Identifier: GPL-2.0-or-later
"""What another user of the machine can do to an instance (nothing), and what its own children may.

Needs root, as the instance starts as root and drops to a user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.instance import BIN, GET_MAP, Instance

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run things as other users")

# The user of the children, and one who is nobody to them.
OWN, STRANGER = "daemon", "nobody"
TOKEN = "a-token-that-nobody-may-read"


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """A folder that every user gets into: it must not be the folder that protects what is in it."""
    folder = Path(tempfile.mkdtemp(prefix="qgsd-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def guarded(open_folder: Path, shared_root: Path) -> Iterator[Instance]:
    root = open_folder / "projects"
    shutil.copytree(shared_root, root)
    subprocess.run([BIN / "qgsd", "keygen", open_folder / "key"], check=True, capture_output=True)
    token = open_folder / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    options = {
        "server.setuid": OWN,
        "management.enabled": "yes",
        "management.port": "0",
        "management.token_file": str(token),
        "zmq.key_file": str(open_folder / "key"),
        "control.readonly": f"ipc://{open_folder / 'i' / 'q.run' / 'look'}",
        "control.readonly_group": "*",
        "confine.open_files": "512",
        "confine.file_size": "1G",
        "confine.address_space": "64G",
    }
    words = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    instance = Instance(open_folder / "i", "run", ("--rootdir", str(root), "-w", "1", *words))
    with instance:
        yield instance


def as_stranger(*line: str) -> subprocess.CompletedProcess[str]:
    user = pwd.getpwnam(STRANGER)
    environment = {"PATH": os.environ["PATH"], "HOME": "/"}
    return subprocess.run(
        line, user=user.pw_uid, group=user.pw_gid, extra_groups=[], env=environment, cwd="/",
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def python(code: str) -> str:
    done = as_stranger(sys.executable, "-c", code)
    return done.stdout + done.stderr


def sockets(instance: Instance) -> list[Path]:
    found = [path for path in (instance.folder / "q.run").iterdir() if path.is_socket()]
    assert {path.name for path in found} == {"control", "look", "front", "back"}
    return found


def test_a_stranger_cannot_command(guarded: Instance) -> None:
    done = as_stranger(str(BIN / "qgsdctl"), "--control", guarded.control, "stop")
    assert (done.returncode, "no permission" in done.stderr) == (3, True), done
    for path in sockets(guarded):
        told = python(f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r}); print(6 * 7)")
        assert (told == "42\n") == (path.name == "look"), told
    for pid in (guarded.pid, guarded.workers()[0]["pid"]):
        assert "PermissionError" in python(f"import os; os.kill({pid}, 15)")


def test_a_stranger_who_may_look_cannot_command(guarded: Instance) -> None:
    look = f"ipc://{guarded.folder / 'q.run' / 'look'}"
    seen = as_stranger(str(BIN / "qgsdctl"), "--control", look, "status")
    assert (seen.returncode, "running" in seen.stdout) == (0, True), seen
    done = as_stranger(str(BIN / "qgsdctl"), "--control", look, "scale", "2")
    assert (done.returncode, "only look" in done.stderr) == (1, True), done
    assert guarded.ctl_json("status")["workers"]["target"] == 1


def test_a_stranger_cannot_replace_a_socket(guarded: Instance) -> None:
    for path in sockets(guarded):
        for attempt in ("os.unlink({0!r})", "os.rename({0!r}, '/tmp/taken')", "os.chmod({0!r}, 0o666)",
                        "open({0!r} + '.new', 'w')"):  # fmt: skip
            told = python(f"import os; {attempt.format(str(path))}")
            assert "PermissionError" in told, (attempt, path, told)
    assert guarded.ctl_json("ping")


def test_a_stranger_cannot_read_secrets(guarded: Instance, open_folder: Path) -> None:
    for path in (open_folder / "key", open_folder / "token", guarded.folder / "q.run" / "tmp" / "projects"):
        told = python(f"import os; p={str(path)!r}; os.listdir(p) if os.path.isdir(p) else open(p).read()")
        assert "PermissionError" in told, (path, told)
    for process in [*guarded.family(), guarded.process]:
        for file in ("environ", "mem", "maps"):
            assert "PermissionError" in python(f"open('/proc/{process.pid}/{file}', 'rb').read(1)")


def test_no_secret_is_told_anywhere(guarded: Instance, open_folder: Path) -> None:
    key = next(line for line in (open_folder / "key").read_text().splitlines() if line.startswith("qgsd-"))
    told = guarded.log_text + guarded.ctl("config").stdout + guarded.ctl("ps").stdout
    told += guarded.ctl("--json", "config").stdout + guarded.ctl("events").stdout
    for process in guarded.family():
        told += " ".join(process.cmdline()) + str(process.environ())
    assert TOKEN not in told
    assert key not in told


def status_of(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}


def test_no_child_can_become_root_again(guarded: Instance) -> None:
    user = pwd.getpwnam(OWN)
    roles = set()
    for row in guarded.ctl_json("ps"):
        if row["role"] == "master":
            continue
        roles.add(row["role"])
        status = status_of(row["pid"])
        assert status["Uid"] == [str(user.pw_uid)] * 4, row
        assert status["Gid"] == [str(user.pw_gid)] * 4, row
        assert set(status["Groups"]) == {str(gid) for gid in os.getgrouplist(OWN, user.pw_gid)}, row
        assert status["NoNewPrivs"] == ["1"], row
        for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status[kind][0], 16) == 0, (row, kind)
    assert roles == {"dispatcher", "http", "admin", "template", "worker"}
    assert guarded.ows(**GET_MAP).status == 200


def test_workers_keep_to_their_limits(guarded: Instance) -> None:
    limits = Path(f"/proc/{guarded.workers()[0]['pid']}/limits").read_text().splitlines()
    found = {line[:26].strip(): line[26:].split()[:2] for line in limits[1:]}
    assert found["Max open files"] == ["512", "512"]
    assert found["Max core file size"] == ["0", "0"]
    assert found["Max file size"] == [str(1 << 30)] * 2
    assert found["Max address space"] == [str(64 << 30)] * 2


def test_what_belongs_to_the_instance_has_no_more_rights_than_it_needs(guarded: Instance) -> None:
    run = guarded.folder / "q.run"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in run.iterdir()}
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o022} == {"look": "0o666"}
    assert stat.S_IMODE(run.stat().st_mode) == 0o711
    assert run.stat().st_uid == 0
