# SPDX-License-Identifier: GPL-2.0-or-later
"""Grafana's dashboard and Prometheus' alerts name metrics that there are; the alerts alert when they must."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from qgsd.admin.figures import FIGURES
from qgsd.metrics import WRITTEN

DEPLOY = Path(__file__).parents[2] / "deploy"
DECLARED = {declared.name: declared for declared in (*WRITTEN, *(one for one, _ in FIGURES))}
PROMTOOL = shutil.which("promtool")

needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="Debian's package prometheus is not installed")


def expressions() -> list[str]:
    board = json.loads((DEPLOY / "grafana" / "qgsd.json").read_text())
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def alerts() -> str:
    text = (DEPLOY / "prometheus" / "qgsd.rules.yml").read_text()
    return re.sub(r"(?m)^ *(summary|description|#).*$", "", text)


def promtool(*arguments: str, cwd: Path) -> None:
    done = subprocess.run([str(PROMTOOL), *arguments], cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_that_is_named_is_declared() -> None:
    named = re.findall(r"\bqgsd_\w+", "\n".join([*expressions(), alerts()]))
    assert len(named) > 30
    bare = {re.sub(r"_(bucket|sum|count)$", "", name) if name not in DECLARED else name for name in named}
    assert bare <= set(DECLARED)


def test_every_label_that_is_named_is_one_of_its_metric() -> None:
    for expression in [*expressions(), alerts()]:
        for name, inside in re.findall(r"\b(qgsd_\w+)\{([^}]*)\}", expression):
            declared = (
                DECLARED[name] if name in DECLARED else DECLARED[re.sub(r"_(bucket|sum|count)$", "", name)]
            )
            used = set(re.findall(r"(\w+) *(?:=~|!=|!~|=)", inside))
            assert used <= {*declared.labels, "instance"}, expression


@needs_promtool
def test_the_dashboard_asks_what_prometheus_understands(tmp_path: Path) -> None:
    rules = [
        {"record": f"r{number}", "expr": re.sub(r"\$__rate_interval", "5m", expression)}
        for number, expression in enumerate(expressions())
    ]
    (tmp_path / "r.yml").write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))
    promtool("check", "rules", "r.yml", cwd=tmp_path)


@needs_promtool
def test_the_alerts_alert_when_they_must() -> None:
    promtool("check", "rules", "qgsd.rules.yml", cwd=DEPLOY / "prometheus")
    promtool("test", "rules", "qgsd.test.yml", cwd=DEPLOY / "prometheus")
