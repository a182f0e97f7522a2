# SPDX-License-Identifier: GPL-2.0-or-later
"""Options on what the service shows of itself: who runs it, and which APIs lie where."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..declaration import OpenSection, option
from ..kinds import Boolean, Checked, Text

# That of QGIS itself; a plugin has none that needs a name here.
LANDING_PAGE = "landing_page"
DEFAULT_ENDPOINTS = {LANDING_PAGE: "/catalog", "lizmap_api": "/lizmap"}
_OTHER_NAMES = {"lizmap": "lizmap_api"}
_SECRET = re.compile(r"PASS|SECRET|TOKEN|KEY", re.IGNORECASE)


def endpoint(text: str) -> str:
    """The path at which an API is: it begins with / and does not end in one.

    :raises ValueError: when it is not a path of letters, digits and - . _ ~.

    >>> endpoint("catalog/")
    '/catalog'
    """
    path = "/" + text.strip("/")
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path):
        raise ValueError("not a path")
    return path


def api_name(text: str) -> str:
    """The name of an API in its one spelling. Raises `ValueError` for what cannot be one."""
    name = text.strip().lower().replace("-", "_")
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", name):
        raise ValueError("not a name")
    return _OTHER_NAMES.get(name, name)


def variable_name(text: str) -> str:
    """A variable's name. Raises `ValueError` for what cannot be one, and for those that set options."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text) or text.upper().startswith("QGSRV_"):
        raise ValueError("not a name for a variable")
    return text


def _line(help: str) -> str:
    return option("", Text(empty=True), help, live=True)


@dataclass(frozen=True)
class MetadataSettings:
    """[metadata]: what the page at / says of the service."""

    title: str = _line("its title")
    description: str = _line("what it is for")
    terms_of_service: str = _line("address of its terms")
    contact_name: str = _line("who runs it")
    contact_address: str = _line("their postal address")
    contact_email: str = _line("their mail address")
    contact_url: str = _line("address of their pages")
    licence_name: str = _line("under which licence it is")
    licence_url: str = _line("address of that licence")
    external_doc_description: str = _line("what further documentation is")
    external_doc_url: str = _line("address of further documentation")


OPEN_SECTIONS = (
    OpenSection(
        section="api.endpoints",
        field="api_endpoints",
        name=api_name,
        names="letters, digits and _",
        kind=Checked(endpoint, "a path"),
        about="where OGC APIs of plugins are, and QGIS's own landing page.",
        help="the path at which the API of that name is",
        example="landing_page=/catalog",
        defaults=DEFAULT_ENDPOINTS,
        live=True,
    ),
    OpenSection(
        section="api.enabled",
        field="api_enabled",
        name=api_name,
        names="letters, digits and _",
        kind=Boolean(),
        about="which APIs clients may ask; see also server.plugin_apis.",
        help="no closes the endpoint of that API, yes opens it",
        example="landing_page=yes",
        defaults={LANDING_PAGE: False, "lizmap_api": False},
    ),
    OpenSection(
        section="environment",
        field="variables",
        name=variable_name,
        names="that of a variable, in its case, without QGSRV_",
        kind=Text(empty=True),
        about="variables for QGIS and its plugins; stronger than those that qgsd was started with.",
        help="a variable of that name for workers",
        example="QGIS_SERVER_WMS_MAX_WIDTH=4096",
        secret=lambda key: bool(_SECRET.search(key)),
    ),
)
