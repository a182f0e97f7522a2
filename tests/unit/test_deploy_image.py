# SPDX-License-Identifier: GPL-2.0-or-later
"""The image and the compose file say what the code really has: commands, ports, folders, variables."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from qgsd import cli
from qgsd.config import Settings, declarations, load, overrides_from
from qgsd.control import locate, qgsdctl

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
PROGRAMS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
DEFAULTS = Settings()


def instructions() -> list[tuple[str, str]]:
    """Each instruction of the Dockerfile with its arguments, in order."""
    text = re.sub(r"(?m)^#.*\n", "", DOCKERFILE.read_text()).replace("\\\n", " ")
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in text.splitlines() if line.strip()]


def last(name: str) -> str:
    return [arguments for instruction, arguments in instructions() if instruction == name][-1]


def environment() -> dict[str, str]:
    return dict(pair.partition("=")[::2] for pair in shlex.split(last("ENV")))


def compose() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    found: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yml").read_text())
    return found


def filled_in(text: str) -> str:
    """A line of the compose file where no variable is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def test_the_image_runs_programs_that_there_are() -> None:
    prefix = Path(environment()["PATH"].partition(":")[0])
    entry, health = json.loads(last("ENTRYPOINT")), json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    for program, *_ in (entry, health):
        assert Path(program).parent == prefix
        assert Path(program).name in PROGRAMS
    assert cli.whole_parser().parse_args(json.loads(last("CMD"))).command == "run"
    command, _ = qgsdctl.parse(health[1:])
    assert command.name == "ping"
    for line in re.findall(r"(?m)^# +docker run (?:-\S+ \S+ )*qgsd(?: (\w+))?", DOCKERFILE.read_text()):
        assert cli.whole_parser().parse_args([line or "run"])


def test_the_image_exposes_the_ports_of_the_defaults() -> None:
    queue = int(DEFAULTS.zmq.bindaddr.rpartition(":")[2])
    assert [int(port) for port in last("EXPOSE").split()] == [
        DEFAULTS.server.port,
        queue,
        DEFAULTS.management.port,
    ]


def test_the_image_is_nobody_in_particular(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without root, and with a folder of its own where master and qgsdctl look for each other."""
    user, group = (int(number) for number in last("USER").split(":"))
    assert min(user, group) > 1000
    made = next(text for name, text in instructions() if name == "RUN" and "useradd" in text)
    assert f"--uid {user}" in made
    assert environment()["HOME"] in made
    monkeypatch.setattr("os.geteuid", lambda: user)
    monkeypatch.setenv("XDG_RUNTIME_DIR", environment()["XDG_RUNTIME_DIR"])
    assert re.search(rf"install -d -o qgsd -g qgsd .*{locate.runtime_directory()}", made)


def test_what_the_image_is_built_of_is_sent_to_the_builder() -> None:
    """.dockerignore lets through what COPY names, and what the wheel is made of."""
    ignore = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    sent = {line[1:] for line in ignore if line.startswith("!")}
    assert all((ROOT / name).exists() for name in sent)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {"pyproject.toml", "setup.py", "qgsd", project["readme"]}
    needed |= set(re.findall(r'Path\("(\w+)', (ROOT / "setup.py").read_text()))
    copied = [text for name, text in instructions() if name == "COPY" and "--from" not in text]
    needed |= {word.split("/")[0] for text in copied for word in text.split()[:-1] if word != "."}
    assert needed <= {name.split("/")[0] for name in sent}


def test_the_image_has_only_public_bases() -> None:
    bases = [text.split()[0] for name, text in instructions() if name == "FROM"]
    stages = re.findall(r"(?m)^FROM \S+ AS (\w+)", DOCKERFILE.read_text())
    assert [base for base in bases if base not in stages] == ["${DEBIAN}"]
    assert re.fullmatch(r"DEBIAN=debian:\w+-slim", last("ARG"))
    assert "--require-hashes -r /src/requirements/run.txt" in DOCKERFILE.read_text()


@pytest.mark.parametrize("service", ["single", "proxy", "worker"])
def test_a_service_runs_a_command_that_there_is(service: str) -> None:
    found = compose()["services"]
    mine = found[service]
    arguments = cli.whole_parser().parse_args([filled_in(word) for word in mine["command"]])
    settings = load(None, {}, overrides_from(arguments)).settings
    assert arguments.command == ("worker" if service == "worker" else "run")
    if service == "worker":
        assert settings.worker.host in found
        assert settings.worker.port == int(DEFAULTS.zmq.bindaddr.rpartition(":")[2])
    else:
        (published,) = mine["ports"]
        assert int(filled_in(published).rpartition(":")[2]) == settings.server.port
    assert settings.server.proxy == (service == "proxy")
    mounted = [filled_in(volume).split(":") for volume in mine["volumes"]]
    assert settings.cache.rootdir == (mounted[0][1],)
    assert (ROOT / "deploy" / mounted[0][0]).resolve() == ROOT / "examples" / "world"
    assert mounted[0][2] == "ro"


def test_compose_sets_variables_that_there_are() -> None:
    known = {variable for option in declarations() for variable in option.variables}
    named = {name for one in compose()["services"].values() for name in one.get("environment", {})}
    assert named
    assert named <= known


def test_compose_lets_a_container_finish() -> None:
    for service in compose()["services"].values():
        assert int(service["stop_grace_period"].removesuffix("s")) >= DEFAULTS.supervision.stop_timeout + 5
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert (ROOT / "deploy" / service["build"]["context"]).resolve() == ROOT
        assert ROOT / service["build"]["dockerfile"] == DOCKERFILE


def test_what_is_written_to_lies_on_volumes() -> None:
    writable = {"/tmp", environment()["HOME"], f"{environment()['XDG_RUNTIME_DIR']}/qgsd"}
    for service in compose()["services"].values():
        places = {volume for volume in service["volumes"] if ":" not in volume} | set(service["tmpfs"])
        assert places == writable
