# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import subprocess
import sys

import pytest

from qgsd import allocator

needs_jemalloc = pytest.mark.skipif(not allocator.find(), reason="libjemalloc2 is not installed")


def run(code: str, environ: dict[str, str]) -> str:
    line = [sys.executable, "-c", f"from qgsd import allocator; {code}"]
    done = subprocess.run(line, env=environ, capture_output=True, text=True, check=True, timeout=30)
    assert done.stderr == "", "the loader complains"
    return done.stdout.strip()


@needs_jemalloc
def test_a_program_started_with_the_variables_runs_with_jemalloc() -> None:
    environ = allocator.variables("auto", {})
    assert run("print(allocator.in_use())", environ) == "jemalloc"
    assert run("print(allocator.in_use())", allocator.variables("system", {})) == "the C library"


@needs_jemalloc
def test_freed_memory_goes_back() -> None:
    code = """
import psutil
held = [bytes(2000) for _ in range(50_000)]
own = lambda: psutil.Process().memory_full_info().uss
full = own(); del held; allocator.give_memory_back(); print(full - own() > 80_000_000)
"""
    assert run(code.replace("\n", ";").strip(";"), allocator.variables("auto", {})) == "True"


@needs_jemalloc
def test_programs_that_plugins_start_do_not_inherit_it() -> None:
    environ = {"PATH": "/bin", **allocator.variables("auto", {"PATH": "/bin"})}
    allocator.clear(environ)
    assert environ == {"PATH": "/bin"}


def test_what_the_administrator_preloads_stays() -> None:
    assert allocator.variables("auto", {"LD_PRELOAD": "/lib/own.so"}) == {}
    both = allocator.variables("/lib/mine.so", {"LD_PRELOAD": "/lib/own.so"})
    assert both["LD_PRELOAD"] == "/lib/mine.so:/lib/own.so"
    allocator.clear(both)
    assert both == {"LD_PRELOAD": "/lib/own.so"}
    # Also if it is what we would have taken.
    untouched = {"LD_PRELOAD": allocator.find() or "/lib/own.so"}
    assert allocator.variables("auto", untouched) == {}
    before = dict(untouched)
    allocator.clear(untouched)
    assert untouched == before


@needs_jemalloc
def test_the_administrators_options_of_jemalloc_stay() -> None:
    own = {"MALLOC_CONF": "narenas:1"}
    assert "MALLOC_CONF" not in allocator.variables("auto", own)
