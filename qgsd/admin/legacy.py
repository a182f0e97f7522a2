# SPDX-License-Identifier: GPL-2.0-or-later
"""The management routes of py-qgis-server: answered in its form, or refused with what to use instead."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tornado.web import url as route

from qgsd.admin import access
from qgsd.admin.access import Denied
from qgsd.admin.handlers import AdminContext, AdminHandler

_TITLES = {
    "/status": "Dashboard, or the status as JSON",
    "/metrics": "Metrics for Prometheus",
    "/api/": "The control commands",
    "/plugins": "QGIS Server plugins",
    "/cache": "Open projects",
    "/pool": "Workers",
}
_NOT_HERE = {
    "env": "the environment may hold secrets; /api/config tells the options and which variables set them",
    "stats": "use /metrics",
}


class RootHandler(AdminHandler):
    """Where one can go."""

    def get(self) -> None:
        if "text/html" in self.request.headers.get("Accept", ""):
            self.redirect("status")
            return
        links = [
            {"href": self._href(path), "title": title, "type": "application/json"}
            for path, title in _TITLES.items()
        ]
        self.answer({"links": links})

    head = get

    def _href(self, path: str) -> str:
        return f"{self.request.protocol}://{self.request.host}{path}"


class StatusPartHandler(AdminHandler):
    """`/status/config`, `/status/versions`; the others by name of what replaces them."""

    async def get(self, part: str) -> None:
        link = self.context.link
        if part == "config":
            self.answer(_by_section(await link.look("config")))
        elif part == "versions":
            self.answer(await link.look("version"))
        elif part in _NOT_HERE:
            raise Denied(410, "gone", f"/status/{part}: {_NOT_HERE[part]}")
        else:
            raise Denied(404, "not_found", f"there is nothing at /status/{part}; see /api/")

    head = get


def _by_section(options: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    sections: dict[str, dict[str, Any]] = {}
    for option in options:
        sections.setdefault(option["section"], {})[option["key"]] = option["value"]
    return sections


class PoolHandler(AdminHandler):
    """`/pool`: the workers, each with the projects it has open."""

    async def get(self) -> None:
        link = self.context.link
        rows = [row for row in await link.look("ps", machines=False) if row["role"] == "worker"]
        projects = await link.look("projects")
        workers = [
            row
            | {
                "cache": [
                    {"key": project["project"], "link": _link(project["project"])}
                    for project in projects
                    if row["slot"] in project["workers"]
                ]
            }
            for row in rows
        ]
        self.answer({"workers": workers, "num_workers": len(workers)})

    head = get


class RestartHandler(AdminHandler):
    """`/pool/restart`: answered when all have been replaced."""

    methods = ("POST",)

    async def post(self) -> None:
        access.check_changing(self.caller, self.token)
        await self.context.link.change("restart", {})
        self.answer({"status": "ok"})


class CacheHandler(AdminHandler):
    """`/cache` and `/cache/content/PROJECT`, or with MAP: the open projects."""

    async def get(self, project: str = "") -> None:
        wanted = project or self.get_query_argument("MAP", "")
        found = [row for row in await self.context.link.look("projects") if row["workers"]]
        if not wanted:
            cached = [{"name": row["project"], "link": _link(row["project"])} for row in found]
            self.answer({"cached": cached})
            return
        for row in found:
            if row["project"] == wanted.removesuffix(".qgs").removesuffix(".qgz"):
                self.answer(row)
                return
        raise Denied(404, "not_open", f"no worker has '{wanted}' open; /cache lists those that are")

    head = get


def _link(project: str) -> str:
    return f"/cache/content/?MAP={quote(project, safe='')}"


class PluginsHandler(AdminHandler):
    """`/plugins` and `/plugins/NAME`."""

    async def get(self, name: str = "") -> None:
        plugins = await self.context.link.look("plugins")
        if not name:
            listed = [plugin | {"link": f"/plugins/{quote(plugin['name'], safe='')}"} for plugin in plugins]
            self.answer({"plugins": listed})
            return
        for plugin in plugins:
            if plugin["name"] == name:
                self.answer(plugin | {"metadata": {"general": {"version": plugin["version"]}}})
                return
        raise Denied(404, "not_found", f"there is no plugin '{name}'; /plugins lists them")

    head = get


def legacy_routes(context: AdminContext) -> list[Any]:
    shared = {"context": context}
    return [
        route(r"/", RootHandler, shared),
        route(r"/status/([a-z]+)/?", StatusPartHandler, shared),
        route(r"/pool/?", PoolHandler, shared),
        route(r"/pool/restart/?", RestartHandler, shared),
        route(r"/cache/?", CacheHandler, shared),
        route(r"/cache/content/(.*)", CacheHandler, shared),
        route(r"/plugins/?", PluginsHandler, shared),
        route(r"/plugins/([^/]+)/?", PluginsHandler, shared),
    ]
