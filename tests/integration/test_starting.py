# SPDX-License-Identifier: GPL-2.0-or-later
"""Starting and stopping, and what is said when it cannot be: one line, a status, nothing left behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from tests.integration.instance import BIN, GET_MAP, Instance, ows_path
from tests.waiting import wait_for

Launch = Callable[..., Instance]


def qgsd(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    line = [str(BIN / "qgsd"), *arguments]
    env = os.environ | environment
    return subprocess.run(line, capture_output=True, text=True, timeout=90, env=env)


def test_start_status_restart_stop(launch: Launch, projects: Path) -> None:
    daemon = launch("--rootdir", str(projects), command="start")
    pidfile = ("--pidfile", str(daemon.pidfile))
    assert daemon.ows(**GET_MAP).status == 200
    assert qgsd("status", *pidfile).returncode == 0
    first = daemon.pid
    assert psutil.Process(first).ppid() == 1 or psutil.Process(first).terminal() is None
    # As it was started: with its root folder, and whatever else was said then.
    again = qgsd("restart", *pidfile, "--set", "server.workers=1")
    assert again.returncode == 0, again.stderr
    assert not alive(first)
    told = daemon.ctl_json("status")
    assert told["workers"]["target"] == 1
    port = told["listen"][0].rpartition(":")[2]
    with urlopen(f"http://127.0.0.1:{port}{ows_path(**GET_MAP)}") as answer:
        assert answer.status == 200
    second = daemon.pid
    assert qgsd("stop", *pidfile).returncode == 0
    assert not alive(second)
    assert qgsd("status", *pidfile).returncode == 3
    assert qgsd("stop", *pidfile).returncode == 3
    assert not daemon.pidfile.exists()


def alive(pid: int) -> bool:
    """It runs; a zombie that nobody has collected does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_titles_are_the_words_of_the_design(launch: Launch, projects: Path) -> None:
    instance = launch("--rootdir", str(projects), "--instance", "town")
    titles = {process.cmdline()[0] for process in [psutil.Process(instance.pid), *instance.family()]}
    wanted = {"qgsd: master [town]", "qgsd: dispatcher", "qgsd: http 0", "qgsd: template"}
    assert wanted | {"qgsd: worker 0", "qgsd: worker 1"} <= titles


@pytest.mark.parametrize(("signal", "bound"), [("TERM", 20), ("INT", 5), ("QUIT", 5)])
def test_signals_end_everything(launch: Launch, projects: Path, signal: str, bound: int) -> None:
    instance = launch("--rootdir", str(projects))
    family = instance.family()
    # And the template's spare, if it has made one already.
    assert len(family) in (5, 6)
    instance.signal(signal)
    assert instance.wait_end(bound) == 0
    assert not [process for process in family if alive(process.pid)]
    assert not instance.pidfile.exists()
    assert not instance.pidfile.with_suffix(".run").exists()


def test_killed_master_leaves_no_child_and_no_obstacle(launch: Launch, projects: Path) -> None:
    instance = launch("--rootdir", str(projects))
    family = instance.family()
    instance.signal("KILL")
    instance.process.wait()
    wait_for("all children have gone", lambda: not [p for p in family if alive(p.pid)], 5)
    again = qgsd("start", "--rootdir", str(projects), "-p", "0", "--pidfile", str(instance.pidfile))
    assert again.returncode == 0, again.stderr
    assert qgsd("stop", "--pidfile", str(instance.pidfile)).returncode == 0


def test_second_start_is_refused(launch: Launch, projects: Path) -> None:
    first = launch("--rootdir", str(projects))
    second = launch("--rootdir", str(projects), "--pidfile", str(first.pidfile), wait=False)
    assert second.wait_end() == 1
    assert second.log_text.count("\n") == 1
    assert f"runs already (pid {first.pid}" in second.log_text
    assert first.ows(**GET_MAP).status == 200


@pytest.mark.parametrize("command", ["run", "start"])
def test_port_in_use(launch: Launch, projects: Path, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        pidfile = projects / "q.pid"
        refused = qgsd(
            command, "--rootdir", str(projects), "-b", "127.0.0.1", "-p", port, "--pidfile", str(pidfile)
        )
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1, refused.stderr
    assert f"port {port}" in refused.stderr
    assert "in use" in refused.stderr
    assert not pidfile.exists()
    assert not pidfile.with_suffix(".run").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--rootdir", "/no/such/folder"), "/no/such/folder does not exist"),
        (("--set", "server.allocator=/no/such.so"), "no library /no/such.so"),
        (("-c", "/no/such/file.ini"), "/no/such/file.ini"),
        (("-u", "nobody-of-that-name"), "there is no user 'nobody-of-that-name'"),
        (("--set", "server.ssl=yes"), "ssl_cert"),
        (("-b", "no.such.host.invalid"), "no.such.host.invalid"),
        (("-w", "many"), "many"),
    ],
)
def test_mistakes_are_one_clear_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    refused = qgsd("run", "--pidfile", str(tmp_path / "q.pid"), "-p", "0", *arguments)
    assert refused.returncode in (1, 2)
    assert refused.stderr.count("\n") == 1, refused.stderr
    assert said in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_missing_qgis_is_one_clear_line(tmp_path: Path, projects: Path) -> None:
    """A `qgis` that cannot be imported stands in for a machine without it."""
    (tmp_path / "site" / "qgis").mkdir(parents=True)
    (tmp_path / "site" / "qgis" / "__init__.py").write_text("raise ImportError('No module named qgis')\n")
    pidfile = tmp_path / "q.pid"
    arguments = ("start", "--rootdir", str(projects), "-p", "0", "--pidfile", str(pidfile))
    refused = qgsd(*arguments, PYTHONPATH=str(tmp_path / "site"))
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1, refused.stderr
    assert "python3-qgis" in refused.stderr
    assert not pidfile.exists()


def test_ipv6_and_unix_sockets(launch: Launch, projects: Path, tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    instance = launch("--rootdir", str(projects), "-b", "127.0.0.1", "-b", "::1", "-b", f"unix:{path}")
    status = instance.ctl_json("status")
    assert len(status["listen"]) == 3
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET /ping HTTP/1.0\r\n\r\n")
        assert b"200 OK" in client.recv(1000)
    (six,) = [address for address in status["listen"] if address.startswith("[::1]")]
    with socket.create_connection(("::1", int(six.rsplit(":", 1)[1]))) as client:
        client.sendall(b"GET /ping HTTP/1.0\r\n\r\n")
        assert b"200 OK" in client.recv(1000)
    instance.signal("TERM")
    instance.wait_end()
    assert not path.exists()


def test_systemd_socket_and_notifications(launch: Launch, projects: Path, tmp_path: Path) -> None:
    """LISTEN_FDS, READY, RELOADING, STATUS, WATCHDOG, STOPPING as a service manager sees them."""
    notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notices.bind(str(tmp_path / "notify"))
    notices.settimeout(30)
    listener = socket.create_server(("127.0.0.1", 0))
    arguments = [str(BIN / "qgsd"), "run", "--rootdir", str(projects), "--pidfile", str(tmp_path / "q.pid")]
    # What systemd does between fork and exec: the socket as descriptor 3, and its variables.
    launcher = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.set_inheritable(3, True);"
        "os.environ['LISTEN_PID'] = str(os.getpid()); os.execv(sys.argv[2], sys.argv[2:])"
    )
    environment = os.environ | {
        "LISTEN_FDS": "1", "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000",
    }  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", launcher, str(listener.fileno()), *arguments],
            pass_fds=[listener.fileno()], env=environment, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        seen = _read_until(notices, "READY=1")
        with socket.create_connection(listener.getsockname()) as client:
            client.sendall(b"GET /ping HTTP/1.0\r\n\r\n")
            assert b"200 OK" in client.recv(1000)
        process.send_signal(1)
        seen += _read_until(notices, "RELOADING=1")
        seen += _read_until(notices, "READY=1")
        seen += _read_until(notices, "WATCHDOG=1")
        process.terminate()
        seen += _read_until(notices, "STOPPING=1")
        assert process.wait(30) == 0
        assert any("STATUS=" in notice and "workers ready" in notice for notice in seen)
    finally:
        process.kill()
        process.wait()
        notices.close()
        listener.close()


def _read_until(notices: socket.socket, wanted: str) -> list[str]:
    seen: list[str] = []
    while wanted not in "\n".join(seen[-1:]).split("\n"):
        seen.append(notices.recv(4096).decode())
    return seen


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_setuid_children_are_the_user(launch: Launch, projects: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    instance = launch("--rootdir", str(projects), "-u", "nobody")
    family = instance.family()
    assert {process.username() for process in family} == {"nobody"}
    assert all(process.gids().real == process.gids().effective != 0 for process in family)
    assert instance.ows(**GET_MAP).status == 200
    instance.ctl("scale", "3")
    assert len(instance.workers()) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_daemon_for_another_user_starts_and_logs(launch: Launch, projects: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    daemon = launch("--rootdir", str(projects), "-u", "nobody", command="start")
    assert daemon.ows(**GET_MAP).status == 200
    wait_for("the access log is written", lambda: "GET /ows/" in daemon.log_text)


def test_a_name_too_long_costs_no_worker(launch: Launch, projects: Path) -> None:
    instance = launch("--rootdir", str(projects))
    before = {row["pid"] for row in instance.workers()}
    for length, status in ((250, 404), (300, 400), (3000, 400)):
        answer = instance.ows("x" * length, SERVICE="WMS", REQUEST="GetCapabilities")
        assert answer.status == status, answer.text
    assert {row["pid"] for row in instance.workers()} == before


def test_tls(launch: Launch, projects: Path, tmp_path: Path) -> None:
    import ssl
    import urllib.request

    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    files = (f"server.ssl_cert={certificate}", f"server.ssl_key={key}", "server.ssl=yes")
    instance = launch("--rootdir", str(projects), *[word for file in files for word in ("--set", file)])
    address = f"https://127.0.0.1:{instance.port}{ows_path(SERVICE='WMS', REQUEST='GetCapabilities')}"
    with urllib.request.urlopen(
        address, context=ssl.create_default_context(cafile=str(certificate))
    ) as answer:
        assert answer.status == 200
        assert address.split("?")[0] in answer.read().decode()


def test_qgisserver_is_qgsd(projects: Path, tmp_path: Path) -> None:
    for command in ("qgisserver", "qgisserver-worker"):
        shown = subprocess.run([str(BIN / command), "-h"], capture_output=True, text=True, timeout=30)
        assert (shown.returncode, "--rootdir" in shown.stdout) == (0, True)
