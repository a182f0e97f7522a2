# SPDX-License-Identifier: GPL-2.0-or-later
"""A QGIS Server plugin for the tests: SERVICE=PROBE tells what the worker is like inside."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import random
import tempfile
import threading
import time
import warnings

import numpy as np
from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QDir, QRandomGenerator, QTemporaryDir
from qgis.server import QgsService


def _sleep(seconds: str) -> dict[str, object]:
    time.sleep(float(seconds))
    return {"slept": seconds}


def _inside(_: str) -> dict[str, object]:
    descriptors = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            descriptors[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
    return {
        "pid": os.getpid(),
        "tmpdir": os.environ["TMPDIR"],
        "python_tmp": tempfile.gettempdir(),
        "qt_tmp": QDir.tempPath(),
        "random": random.random(),
        "numpy_random": float(np.random.random()),
        "blas_threads": _blas_threads(),
        "descriptors": descriptors,
    }


def _blas_threads() -> int | None:
    """How many threads OpenBLAS uses in this process; None where numpy computes with another library."""
    with open("/proc/self/maps") as maps:
        loaded = {line.split()[-1] for line in maps if "libopenblas" in line}
    return ctypes.CDLL(loaded.pop()).openblas_get_num_threads() if loaded else None


_folders: list[QTemporaryDir] = []


def _make_folders(number: str) -> dict[str, object]:
    """Let Qt draw the names of so many temporary folders, as QGIS does for one .qgz."""
    _folders.extend(QTemporaryDir() for _ in range(int(number)))
    return {"names": [os.path.basename(folder.path()) for folder in _folders if folder.isValid()]}


def _abort(_: str) -> dict[str, object]:
    os.abort()


def _say(text: str) -> dict[str, object]:
    QgsApplication.messageLog().logMessage(f"QGIS says {text}", "probe")
    os.write(2, f"stderr says {text}\n".encode())
    os.write(1, f"stdout says {text}\n".encode())
    warnings.warn(f"Python warns {text}", stacklevel=1)
    return {"qt_random": QRandomGenerator.global_().generate()}


def _fail(text: str) -> dict[str, object]:
    raise RuntimeError(text)


_kept: list[bytearray] = []


def _hog(mebibytes: str) -> dict[str, object]:
    """Leak memory, and touch it so that it counts."""
    _kept.append(bytearray(os.urandom(1024) * 1024 * int(mebibytes)))
    return {"kept": len(_kept)}


_opened: list[int] = []


def _leak_descriptors(number: str) -> dict[str, object]:
    """Leave so many descriptors open, or as many as there are."""
    try:
        for _ in range(int(number)):
            _opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return {"pid": os.getpid(), "error": error.strerror}
    return {"pid": os.getpid(), "opened": len(_opened)}


def _burn(seconds: str) -> dict[str, object]:
    """Go on using a processor after the answer, as a plugin with a runaway thread does."""
    until = time.monotonic() + float(seconds)

    def spin() -> None:
        # Also on a machine that has much else to do: it must be seen to burn half a processor.
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, -15)
        while time.monotonic() < until:
            pass

    threading.Thread(target=spin, daemon=True).start()
    return {"burning": seconds}


def _variable(name: str) -> dict[str, object]:
    return {"value": os.environ.get(name)}


_ACTIONS = {
    "variable": _variable,
    "hog": _hog,
    "burn": _burn,
    "descriptors": _leak_descriptors,
    "inside": _inside,
    "folders": _make_folders,
    "sleep": _sleep,
    "abort": _abort,
    "say": _say,
    "fail": _fail,
}


class Probe(QgsService):
    """REQUEST names an action, VALUE its argument; the answer is JSON."""

    def name(self) -> str:
        return "PROBE"

    def version(self) -> str:
        return "1.0"

    def executeRequest(self, request, response, project) -> None:  # type: ignore[no-untyped-def]
        parameters = request.parameters()
        if parameters.get("REQUEST", "").lower() == "stream":
            self._stream(response, int(parameters["VALUE"]))
            if "ABORT" in parameters:
                # Once what was written has left the process.
                time.sleep(0.3)
                os.abort()
            return
        if parameters["REQUEST"].lower() == "headers":
            told: dict[str, object] = {"headers": request.headers()}
        else:
            told = _ACTIONS[parameters["REQUEST"].lower()](parameters.get("VALUE", ""))
        response.setStatusCode(200)
        response.setHeader("Content-Type", "application/json")
        response.setHeader("X-Probe", request.header("X-Probe") or "")
        response.write(json.dumps(told))

    def _stream(self, response, pieces: int) -> None:  # type: ignore[no-untyped-def]
        response.setHeader("Content-Type", "text/plain")
        for number in range(pieces):
            response.write(f"{number:>99}\n" * 100)
            response.flush()


def serverClassFactory(server):  # type: ignore[no-untyped-def]
    service = Probe()
    server.serviceRegistry().registerService(service)
    return service
