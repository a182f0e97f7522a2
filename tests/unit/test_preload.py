# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import subprocess
import sys

import pytest

from qgsd import allocator, png, preload
from qgsd.preload import Wanted

AUTO = Wanted("auto", "qgis")
needs_jemalloc = pytest.mark.skipif(not allocator.find(), reason="libjemalloc2 is not installed")
needs_compact_png = pytest.mark.skipif(
    not png.find(), reason="there was no C compiler when qgsd was installed"
)


def run(code: str, environ: dict[str, str]) -> str:
    line = [sys.executable, "-c", f"from qgsd import allocator; {code}"]
    done = subprocess.run(line, env=environ, capture_output=True, text=True, check=True, timeout=30)
    assert done.stderr == "", "the loader complains"
    return done.stdout.strip()


@needs_jemalloc
def test_a_program_started_with_the_variables_runs_with_jemalloc() -> None:
    told = "print(allocator.in_use())"
    assert run(told, preload.variables(AUTO, {})) == "jemalloc"
    assert run(told, preload.variables(Wanted("system", "qgis"), {})) == "the C library"


@needs_jemalloc
def test_freed_memory_goes_back() -> None:
    code = """
import psutil
held = [bytes(2000) for _ in range(50_000)]
own = lambda: psutil.Process().memory_full_info().uss
full = own(); del held; allocator.give_memory_back(); print(full - own() > 80_000_000)
"""
    assert run(code.replace("\n", ";").strip(";"), preload.variables(AUTO, {})) == "True"


@needs_jemalloc
@needs_compact_png
def test_programs_that_plugins_start_do_not_inherit_it() -> None:
    environ = {"PATH": "/bin", **preload.variables(Wanted("auto", "compact"), {"PATH": "/bin"})}
    assert environ["LD_PRELOAD"] == f"{allocator.find()}:{png.find()}"
    assert run("print(allocator.in_use())", environ) == "jemalloc"
    preload.clear(environ)
    assert environ == {"PATH": "/bin"}


def test_what_the_administrator_preloads_stays() -> None:
    assert preload.variables(AUTO, {"LD_PRELOAD": "/lib/own.so"}) == {}
    both = preload.variables(Wanted("/lib/mine.so", "qgis"), {"LD_PRELOAD": "/lib/own.so"})
    assert both["LD_PRELOAD"] == "/lib/mine.so:/lib/own.so"
    preload.clear(both)
    assert both == {"LD_PRELOAD": "/lib/own.so"}
    # Also if it is what we would have taken.
    untouched = {"LD_PRELOAD": allocator.find() or "/lib/own.so"}
    assert preload.variables(AUTO, untouched) == {}
    before = dict(untouched)
    preload.clear(untouched)
    assert untouched == before


@needs_compact_png
def test_compact_pictures_come_beside_the_administrators_allocator() -> None:
    environ = preload.variables(Wanted("auto", "compact"), {"LD_PRELOAD": "/lib/own.so"})
    assert environ["LD_PRELOAD"] == f"{png.find()}:/lib/own.so"


@needs_jemalloc
def test_the_administrators_options_of_jemalloc_stay() -> None:
    own = {"MALLOC_CONF": "narenas:1"}
    assert "MALLOC_CONF" not in preload.variables(AUTO, own)


def test_who_wants_compact_pictures_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "find", lambda: "")
    assert png.problem("qgis") == ""
    assert "C compiler" in png.problem("compact")
    monkeypatch.setattr(png, "find", lambda: "/srv/our maps/compact.so")
    assert "/srv/our maps/compact.so" in png.problem("compact")
