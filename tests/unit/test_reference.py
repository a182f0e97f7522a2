# SPDX-License-Identifier: GPL-2.0-or-later
"""The reference has every event and every error that the code can tell."""

from __future__ import annotations

from qgsd.control.event_names import EVENTS, ROLES, is_known
from reference import pages, source

# Names that are put together when they happen.
MADE_UP = {"project.{}": ("pinned", "unpinned")}
# Told through a variable.
BY_VARIABLE = {"project.suspended", "project.recovered"}


def test_every_event_in_the_code_is_declared() -> None:
    names = {
        name.format(filled)
        for name in source.events()
        for filled in MADE_UP.get(name, ("worker",) if name.startswith("{}") else ("",))
    }
    assert len(names) > 20
    assert sorted(name for name in names if not is_known(name)) == []


def test_every_declared_event_is_in_the_code() -> None:
    told = {name.replace("{}.", "ROLE.") for name in source.events()} | BY_VARIABLE
    told |= {f"project.{filled}" for filled in MADE_UP["project.{}"]}
    assert sorted(set(EVENTS) - told) == []
    assert [f"{role}.ready" for role in ROLES if not is_known(f"{role}.ready")] == []


def test_errors_are_found_where_they_are_made() -> None:
    errors = {
        (error.status, error.code) for error in source.errors("qgsd/proxy", "qgsd/worker", "qgsd/location")
    }
    contract = {
        (400, "no_map"), (403, "outside_root"), (404, "no_project"), (405, "method_not_allowed"),
        (408, "request_timeout"), (413, "body_too_large"), (414, "uri_too_long"), (431, "headers_too_large"),
        (422, "broken_project"), (500, "quarantined"), (503, "queue_full"), (504, "timeout"),
        (508, "loop_detected"),
    }  # fmt: skip
    assert contract <= errors
    page = pages.http_page()
    assert all(f"`{code}`" in page for _, code in errors)
