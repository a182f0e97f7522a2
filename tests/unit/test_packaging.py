# SPDX-License-Identifier: GPL-2.0-or-later
"""Installed elsewhere: without PyQGIS the reason is plain. `scripts/test-package` installs for real."""

from __future__ import annotations

import re
import subprocess
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

from qgsd import __version__, cli
from qgsd.config import load
from qgsd.pyqgis import advice

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def without_qgis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has qgsd and what it needs, but does not see the system's PyQGIS."""
    folder = tmp_path_factory.mktemp("v") / "venv"
    venv.create(folder, symlinks=True)
    site = next(folder.glob("lib/python3*/site-packages"))
    ours = sysconfig.get_path("purelib")
    # Editable installations of ours lie there as .pth, which only addsitedir reads.
    (site / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    return folder / "bin" / "python"


@pytest.mark.parametrize("command", ["run", "check"])
def test_without_pyqgis_it_says_what_to_do(without_qgis: Path, command: str, tmp_path: Path) -> None:
    line = [str(without_qgis), "-P", "-m", "qgsd.cli", command, "--pidfile", str(tmp_path / "q.pid")]
    line += ["-p", "0"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("qgsd: QGIS cannot be imported")
    assert "No module named 'qgis'" in last
    assert "make it anew by `/usr/bin/python3 -m venv --system-site-packages FOLDER`" in last


def test_a_proxy_needs_no_pyqgis(without_qgis: Path, tmp_path: Path) -> None:
    line = [str(without_qgis), "-P", "-m", "qgsd.cli", "check", "--proxy"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_advice_fits_the_python(tmp_path: Path) -> None:
    assert advice("/usr", "/usr") == "install Debian's python3-qgis and qgis-server"
    assert "not that in /opt/python" in advice("/opt/venv", "/opt/python")
    (tmp_path / "pyvenv.cfg").write_text("include-system-site-packages = true\n")
    assert advice(str(tmp_path), "/usr") == advice("/usr", "/usr")


# Versions and files of the packages.


def test_everything_is_of_the_same_version() -> None:
    first = (ROOT / "debian" / "changelog").read_text().split("\n", 1)[0]
    version = re.match(r"qgsd \(([^)-]+)\)", first)
    assert version
    assert version[1].replace("~", ".") == __version__


def test_the_packages_configuration_is_one() -> None:
    """It serves as it stands, to this machine only, by the name that its unit gives."""
    ini = ROOT / "debian" / "qgsd.ini"
    settings = load(str(ini), {}, {}).settings
    assert settings.server.interfaces == ("127.0.0.1",)
    assert settings.cache.rootdir == ("/usr/share/qgsd/examples/world",)
    assert '"share/qgsd/examples/world"' in (ROOT / "setup.py").read_text()
    for unit in ("qgsd.service", "qgsd@.service"):
        start = re.search(r"(?m)^ExecStart=/opt/qgsd/bin/(\S+) (.*)$", (ROOT / "systemd" / unit).read_text())
        assert start
        assert start[1] in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
        arguments = cli.whole_parser().parse_args(start[2].replace("%i", "qgsd").split())
        assert arguments.config == "/etc/qgsd/qgsd.ini"
    assert "s#/opt/qgsd/bin/#/usr/bin/#" in (ROOT / "debian" / "rules").read_text()


def test_bundled_javascript_tells_its_version() -> None:
    """The bill of materials has it from there."""
    source = (ROOT / "scripts" / "bundled.py").read_text()
    declared = re.findall(r'"(\w+)": \("(qgsd/\S+\.js)", r"(.+?)", "(\S+)"\)', source)
    assert {name for name, *_ in declared} == {"leaflet", "uplot"}
    for _, file, pattern, _ in declared:
        assert re.search(pattern, (ROOT / file).read_text()[:400]), file
