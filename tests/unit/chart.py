# SPDX-License-Identifier: GPL-2.0-or-later
"""The chart as Helm renders it, for the tests that look at it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from qgsd import cluster_key
from tests import helm

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "qgsd"
SECRET = {"secret": {"key": cluster_key.generate(), "token": "correct-horse-battery-staple"}}
Document = dict[str, Any]


@dataclass
class Rendered:
    """The documents that one set of values gives."""

    documents: list[Document] = field(default_factory=list)

    def of(self, kind: str, suffix: str = "") -> Document:
        """The only one of its kind, or the one whose name ends so."""
        found = [d for d in self.documents if d["kind"] == kind and d["metadata"]["name"].endswith(suffix)]
        assert len(found) == 1, f"{len(found)} of {kind} …{suffix}"
        return found[0]

    def pod(self, part: str) -> Document:
        return self.of("Deployment", f"-{part}")["spec"]["template"]

    def container(self, part: str) -> Document:
        (only,) = self.pod(part)["spec"]["containers"]
        return only

    def ports(self, part: str) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for port in self.container(part)["ports"]}


def read(templates: dict[str, str]) -> Rendered:
    """What Helm has rendered, without its notes."""
    manifests = [text for name, text in templates.items() if name.endswith(".yaml")]
    return Rendered([document for text in manifests for document in yaml.safe_load_all(text) if document])


def render(cases: dict[str, Document]) -> tuple[dict[str, Rendered | str], list[str]]:
    """Each case by its name: the documents, or Helm's error; and the warnings of lint for the first one."""
    answers, warnings = helm.ask(CHART, list(cases.values()))
    named = zip(cases, answers, strict=True)
    return {name: one if isinstance(one, str) else read(one) for name, one in named}, warnings
