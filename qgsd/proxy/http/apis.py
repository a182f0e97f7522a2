# SPDX-License-Identifier: GPL-2.0-or-later
"""Which OGC APIs clients may ask: `[api.endpoints]`, `[api.enabled]`, `server.plugin_apis`. Pure."""

from __future__ import annotations

from qgsd.config import Settings, public


def is_open(settings: Settings, path: str) -> bool:
    """Whether an API at that path may be asked, if there is one.

    One that the configuration names is closed until it is enabled, as in py-qgis-server; at other paths
    `server.plugin_apis` decides.
    """
    for name in settings.api_endpoints.keys() | settings.api_enabled.keys():
        endpoint = settings.api_endpoints.get(name) or public.DEFAULT_ENDPOINTS.get(name)
        if endpoint and (path == endpoint or path.startswith((f"{endpoint}/", f"{endpoint}."))):
            return settings.api_enabled.get(name, False)
    return settings.server.plugin_apis
