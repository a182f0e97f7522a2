# SPDX-License-Identifier: GPL-2.0-or-later
"""What people type and read: flags, the printed ini file, the table, the listing."""

import argparse
import dataclasses
from pathlib import Path

import pytest

from qgsd.config import (
    ConfigError,
    Settings,
    add_flags,
    add_set_flag,
    declarations,
    load,
    named,
    overrides_from,
    render,
)


def typed(line: str, command: str = "run") -> dict[tuple[str, str], str]:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_flags(parser, command)
    add_set_flag(parser)
    return overrides_from(parser.parse_args(line.split()))


def flags_of(command: str) -> set[str]:
    parser = argparse.ArgumentParser(add_help=False)
    add_flags(parser, command)
    return {flag for action in parser._actions for flag in action.option_strings}


# --- the command line -----------------------------------------------------------------


def test_flags_of_the_contract() -> None:
    run = "-p --port -b --bind -w --workers -j --jobs -u --setuid --rootdir --proxy --timeout --pidfile"
    assert flags_of("run") == {*run.split(), "--logging", "--control", "--instance"}
    assert flags_of("start") == flags_of("demo") == flags_of("run")
    worker = "--host --port -w --workers --rootdir --control --pidfile --logging --key-file"
    assert flags_of("worker") == set(worker.split())
    assert flags_of("check") == flags_of("run")
    for command in ("stop", "restart", "status"):
        assert flags_of(command) == {"--pidfile", "--control", "--instance"}


def test_only_some_flags() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, only={"server.port"})
    assert overrides_from(parser.parse_args(["-p", "1"])) == {("server", "port"): "1"}
    assert "--workers" not in parser.format_help()


def test_unknown_command() -> None:
    with pytest.raises(KeyError):
        add_flags(argparse.ArgumentParser(), "dance")


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("", {}),
        ("-p 81 --workers 3", {("server", "port"): "81", ("server", "workers"): "3"}),
        ("--proxy", {("server", "proxy"): "yes"}),
        ("--set server.proxy=no", {("server", "proxy"): "no"}),
        ("--set zmq.identity=a=b", {("zmq", "identity"): "a=b"}),
        ("--set projects.cache.size=3", {("cache", "size"): "3"}),
        ("--set cache.rootdir=", {("cache", "rootdir"): ""}),
        ("-p 1 --set server.port=2", {("server", "port"): "2"}),
        ("--set server.port=2 -p 1", {("server", "port"): "1"}),
        ("-b ::1 --bind 127.0.0.1", {("server", "interfaces"): "::1,127.0.0.1"}),
        ("-b ::1 --set server.interfaces=::2", {("server", "interfaces"): "::2"}),
        ("--set server.interfaces=::2 -b ::1", {("server", "interfaces"): "::1"}),
    ],
)
def test_overrides(line: str, given: dict[tuple[str, str], str]) -> None:
    assert typed(line) == given


def test_port_of_a_worker_is_the_proxys() -> None:
    assert typed("--host proxy --port 1", "worker") == {("worker", "host"): "proxy", ("worker", "port"): "1"}


def test_flags_reach_the_settings() -> None:
    given = typed(
        "-p 0 -b ::1 -b 127.0.0.1 -w 4 -j 2 -u qgis --timeout 2.5 --logging DEBUG --instance a --proxy"
    )
    settings = load(None, {}, given).settings
    assert dataclasses.replace(
        Settings().server,
        port=0,
        interfaces=("::1", "127.0.0.1"),
        workers=4,
        jobs=2,
        setuid="qgis",
        timeout=2.5,
        instance="a",
        proxy=True,
    ) == (settings.server)
    assert settings.logging.level == "debug"


def test_subcommands() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    for name in ("run", "worker"):
        command = commands.add_parser(name)
        add_flags(command, name)
        add_set_flag(command)
    assert overrides_from(parser.parse_args(["worker", "--port", "5"])) == {("worker", "port"): "5"}
    assert overrides_from(parser.parse_args(["run", "--port", "5"])) == {("server", "port"): "5"}


def test_parsers_share_nothing() -> None:
    assert typed("-p 1") == {("server", "port"): "1"}
    assert typed("-w 1") == {("server", "workers"): "1"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--set server.port", "command line: --set: no =; found 'server.port'; allowed: SECTION.KEY=VALUE"),
        (
            "--set server.prot=1",
            "command line: --set: [server] prot: unknown key; found 'prot'; allowed: port, ",
        ),
        (
            "--set port=1",
            "command line: --set: no such option; found 'port'; allowed: SECTION.KEY as listed by",
        ),
        ("--set =1", "command line: --set: no such option; found ''; allowed: SECTION.KEY as listed by"),
    ],
)
def test_bad_assignments(line: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        typed(line)
    assert str(caught.value).startswith(said)


def test_help_comes_from_the_declarations() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, "run")
    text = " ".join(parser.format_help().split())
    for declared in declarations():
        if declared.flags and "run" in declared.commands:
            assert declared.help in text
            assert ", ".join(f"{flag} {declared.metavar}".strip() for flag in declared.flags[:1]) in text
    assert "port to listen on; 0 lets the kernel choose (default: 8080)" in text
    assert "--logging {debug,info,warning,error}" in text


# --- qgsd config, qgsd check ----------------------------------------------------------


def test_the_printed_file_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "qgsd.ini"
    path.write_text(render.ini())
    loaded = load(str(path), {}, {})
    assert loaded.settings == Settings()
    assert all(source.startswith(f"{path}:") for source in loaded.sources.values())


def test_the_commented_file_says_nothing_until_it_is_edited(tmp_path: Path) -> None:
    path = tmp_path / "qgsd.ini"
    path.write_text(render.ini(commented=True))
    loaded = load(str(path), {"QGSRV_SERVER_WORKERS": "3"}, {})
    assert loaded.settings.server.workers == 3
    assert set(loaded.sources.values()) == {"default", "environment QGSRV_SERVER_WORKERS"}
    path.write_text(render.ini(commented=True).replace("#workers=2", "workers=4"))
    assert load(str(path), {"QGSRV_SERVER_WORKERS": "3"}, {}).settings.server.workers == 4


def test_the_printed_file_explains_every_option() -> None:
    lines = render.ini().splitlines()
    for declared in declarations():
        place = lines.index(f"# {declared.help}")
        assert lines[place + 2] == f"{declared.key}={declared.kind.format(declared.default)}"
        assert declared.kind.describe() in lines[place + 1]
        assert declared.environment in lines[place + 1]


def test_the_table_has_a_row_for_every_option() -> None:
    rows = [line for line in render.markdown().splitlines() if line.startswith("| `")]
    assert len(rows) == len(list(declarations()))
    for row, declared in zip(rows, declarations(), strict=True):
        assert row.startswith(f"| `{declared.key}` |")
        assert row.replace("\\|", "").count("|") == 8


def test_the_listing_tells_values_and_sources(tmp_path: Path) -> None:
    path = tmp_path / "qgsd.ini"
    path.write_text("[server]\nworkers=3\n")
    environ = {"QGSRV_SERVER_TIMEOUT": "5", "QGSRV_SERVER_PORT": "1", "QGSRV_XYZZY": ""}
    lines = render.listing(load(str(path), environ, {("cache", "size"): "7"})).splitlines()
    told = {" ".join(line.split()) for line in lines}
    assert {
        "server.port = 8080 # default",
        f"server.workers = 3 # {path}:2",
        "server.timeout = 5 # environment QGSRV_SERVER_TIMEOUT",
        "cache.size = 7 # command line",
        "server.setuid = # default",
        "warning: environment QGSRV_SERVER_PORT: no option has this name, "
        "did you mean QGSRV_SERVER_HTTP_PORT?",
        "warning: environment QGSRV_XYZZY: no option has this name",
    } <= told
    assert len(lines) == len(list(declarations())) + 2


def test_secrets_are_not_shown() -> None:
    secret = dataclasses.replace(named("server.setuid"), secret=True)
    assert secret.show("hunter2") == "***"
    assert secret.show("") == ""
    assert named("server.setuid").show("qgis") == "qgis"
