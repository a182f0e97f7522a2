# SPDX-License-Identifier: GPL-2.0-or-later
"""Projects whose content is at hand, though not where they are stored."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import Any

from qgis.core import QgsPathResolver, QgsProject

from qgsd.worker.stores.base import read_by_qgis


def suffix_of(content: bytes) -> str:
    """Of the file that QGIS would read it from; it goes by the name.

    >>> suffix_of(b"PK..."), suffix_of(b"<!DOCTYPE qgis")
    ('.qgz', '.qgs')
    """
    return ".qgz" if content.startswith(b"PK") else ".qgs"


def read_content(
    project: QgsProject, content: bytes, source: str, folder: str, flags: Any, name: str
) -> None:
    """Have QGIS read the content as if it were stored at `source`. Raises `ProjectError`, `OSError`."""
    with tempfile.NamedTemporaryFile(suffix=suffix_of(content)) as file:
        file.write(content)
        file.flush()
        read_copy(project, file.name, source, folder, flags, name)


def read_copy(project: QgsProject, path: str, source: str, folder: str, flags: Any, name: str) -> None:
    """Have QGIS read the file as if it were stored at `source`, its relative paths beginning in `folder`.

    Raises `ProjectError`.
    """
    with _as_if_in(folder):
        read_by_qgis(project, path, flags, name)
    # QGIS's caches, and what is relative from now on, go by the name.
    project.setFileName(source)


@contextlib.contextmanager
def _as_if_in(folder: str) -> Iterator[None]:
    """Let QGIS resolve relative paths of a project from there (QgsPathResolver.setPathPreprocessor)."""

    def absolute(path: str) -> str:
        relative = path.startswith(("./", "../"))
        return os.path.normpath(os.path.join(folder or os.getcwd(), path)) if relative else path

    # The stubs do not know that the function returns the path.
    handle = QgsPathResolver.setPathPreprocessor(absolute)  # type: ignore[arg-type]
    try:
        yield
    finally:
        QgsPathResolver.removePathPreprocessor(handle)
