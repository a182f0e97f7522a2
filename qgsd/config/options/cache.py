# SPDX-License-Identifier: GPL-2.0-or-later
"""The projects, and how workers keep them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from qgsd.keeping import pattern_name
from qgsd.location import Alias, alias_name

from ..declaration import RUN, WORKER, OpenSection, option
from ..kinds import DAY, Boolean, Integer, List, Number, Path, Paths, Text, Url


def _scheme_or_all(text: str) -> str:
    if text != "*" and not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", text):
        raise ValueError(f"{text!r} is not a scheme")
    return text.lower()


@dataclass(frozen=True)
class CacheSettings:
    """[cache]: the projects, and how workers keep them."""

    size: int = option(10, Integer(1, 100_000), "projects a worker keeps open", live=True)
    rootdir: tuple[str, ...] = option(
        (),
        Paths(),
        "folders of the projects, the first that has one wins; empty = the current directory",
        flag=("--rootdir",),
        metavar="PATH",
        commands=(RUN, WORKER),
    )
    strict_check: bool = option(True, Boolean(), "refuse projects with invalid layers (422)", live=True)
    check_interval: float = option(
        1.0,
        Number(0, DAY),
        "seconds between looks at whether open projects have changed; 0 = all the time",
        live=True,
    )
    preload_config: str = option(
        "", Path(), "file of projects to keep open at all times, one a line as in MAP=", live=True
    )
    default_project: str = option(
        "",
        Text(empty=True),
        "the project of requests that name none, as in MAP= or the path of its file",
        also=("QGIS_PROJECT_FILE",),
        live=True,
    )
    load_timeout: float = option(
        60.0,
        Number(0, DAY, above=True),
        "seconds a project may take to load before it is asked for; its worker is killed then",
        live=True,
    )
    broken_ttl: float = option(
        5.0,
        Number(0, DAY),
        "seconds before a project that did not load is tried again, unless it changes",
        live=True,
    )
    allow_storage_schemes: tuple[str, ...] = option(
        ("*",),
        List(_scheme_or_all, "schemes (file, postgresql, geopackage …), or *"),
        "stores that projects may come from, also through a scheme of [projects.schemes]",
        live=True,
    )
    insecure: bool = option(
        False,
        Boolean(),
        "let clients name databases in MAP (postgresql://user@host?dbname=…); a password never",
        live=True,
    )
    default_handler: str = option(
        "file",
        Text(r"[A-Za-z][A-Za-z0-9_-]*", "a scheme"),
        "scheme of a MAP that names none",
        live=True,
    )
    trust_layer_metadata: bool = option(
        False,
        Boolean(),
        "take extents and keys of layers from the project, without asking the data: loads quicker",
        env="QGSRV_TRUST_LAYER_METADATA",
        also=("QGIS_SERVER_TRUST_LAYER_METADATA",),
    )
    disable_getprint: bool = option(
        False,
        Boolean(),
        "refuse GetPrint and leave out layouts: loads quicker",
        env="QGSRV_DISABLE_GETPRINT",
        also=("QGIS_SERVER_DISABLE_GETPRINT",),
    )
    force_readonly_layers: bool = option(
        True,
        Boolean(),
        "open layers for reading only, so that no client can write (WFS-T)",
        also=("QGIS_SERVER_FORCE_READONLY_LAYERS",),
    )
    writable_projects: tuple[str, ...] = option(
        (),
        List(pattern_name, "projects as in MAP=, with * for any letters", empty=True),
        "projects that clients may write to all the same (WFS-T), where the project itself allows it",
    )
    disable_owsurls: bool = option(
        False, Boolean(), "ignore the addresses of the service that a project gives for itself"
    )


OPEN_SECTIONS = (
    OpenSection(
        section="projects.schemes",
        field="schemes",
        name=alias_name,
        names="letters, digits, _ or -, other than file",
        kind=Url(Alias.parse, "a URL of a store that ends in / or has {path} in it, or names a database"),
        about="schemes for MAP that stand for a place in a store of projects.",
        help="MAP=NAME:path is the project of that path there",
        example="gis=postgresql:?service=gis&schema=public&project={path}",
        live=True,
    ),
)
