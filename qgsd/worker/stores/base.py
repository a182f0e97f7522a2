# SPDX-License-Identifier: GPL-2.0-or-later
"""What a store of projects is. Public: other packages may bring stores, see `Store`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from qgis.core import QgsProject

from qgsd.location import Location, LocationError, no_project


class ProjectError(LocationError):
    """The project exists but cannot be served: answered 422."""

    def __init__(self, message: str) -> None:
        super().__init__(422, "broken_project", message)


class StoreUnavailable(LocationError):
    """The store does not answer now, so nothing is known of the project: answered 503."""

    def __init__(self, message: str) -> None:
        super().__init__(503, "store_unavailable", message)


@runtime_checkable
class Store(Protocol):
    """A place that has projects. Public extension API.

    A package brings one by an entry point of the group `qgsd.stores`: its name is the scheme in MAP, its
    object is called with the `qgsd.config.Settings` and returns the store. That happens in each worker;
    the module is imported in the template, where it must not open files or connections (docs/fork-safety.md).

    What raises anything but `LocationError` costs the request (500), not the worker.
    """

    def resolve(self, location: Location) -> str:
        """The source of a project, in the form that QgsProject.read takes.

        Called in the main thread. `location.scheme` is that of this store, aliases are replaced.
        Clients have a say in `path` and `project` only; `path` has no `..` in it.

        Raises `LocationError`: 403 what must not be served, 404 no such project.
        """
        ...

    def version(self, source: str) -> str | None:
        """A text that changes exactly when the content does; None when the project is gone.

        The same on every machine that has the same content. Called often, and from any thread while the
        main thread renders: it must be cheap, bounded in time, and must not use QGIS or Qt.

        Raises `StoreUnavailable`.
        """
        ...

    def read(self, project: QgsProject, source: str, flags: Any) -> None:
        """Read the source into an empty project, with QgsProject.ReadFlags. Called in the main thread.

        Raises `ProjectError` with QGIS's reason.
        """
        ...


Version = str | None | LocationError


@runtime_checkable
class Batching(Protocol):
    """What a store may offer besides: versions of many projects by few questions. Public extension API."""

    def versions(self, sources: Sequence[str]) -> dict[str, Version]:
        """For each source what `version` returns, or the error that it raises. Called as that is."""
        ...


@runtime_checkable
class Copying(Protocol):
    """What a store may offer besides: copies of its projects. Public extension API.

    With it a version that was replaced by a broken one stays in service even for workers that start later.
    """

    def content(self, source: str) -> bytes | None:
        """The project as QGIS writes it to a file, .qgs or .qgz; None when it is gone.

        Called in the main thread. Raises `StoreUnavailable`.
        """
        ...

    def folder(self, source: str) -> str:
        """Where relative paths in the project begin; empty where they mean nothing."""
        ...


@dataclass(frozen=True)
class Source:
    """Where a project of a key is read from."""

    key: str
    store: Store
    uri: str

    def version(self) -> str:
        """Raises `LocationError`: 404 gone, 503 the store does not answer. To be called from any thread."""
        version = self.store.version(self.uri)
        if version is None:
            raise no_project(self.key)
        return version


def read_by_qgis(project: QgsProject, source: str, flags: Any, name: str) -> None:
    """Let QGIS read the source; `name` is what people know the project by. Raises `ProjectError`."""
    try:
        loaded = project.read(source, flags)
    except Exception as error:
        raise ProjectError(f"'{name}' does not load: {without_passwords(str(error))}") from error
    if not loaded:
        reason = without_passwords(project.error().replace(source, name)) or "it is no QGIS project"
        raise ProjectError(f"'{name}' does not load: {reason}")


_PASSWORD = re.compile(
    r"""(//[^\s/@?#:]*:)[^\s/@]*@|(\bpassword=)('(?:\\.|[^'\\])*'|[^\s&'"]+)""", re.IGNORECASE
)


def without_passwords(text: str) -> str:
    """
    >>> without_passwords("cannot reach dbname='x' password='a\\\\'b' or //me:secret@host")
    "cannot reach dbname='x' password=*** or //me:***@host"
    """
    return _PASSWORD.sub(lambda m: f"{m[1]}***@" if m[1] else f"{m[2]}***", text)
