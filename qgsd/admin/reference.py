# SPDX-License-Identifier: GPL-2.0-or-later
"""The reference of the metrics, made of their declarations; `scripts/docs` writes it."""

from __future__ import annotations

from qgsd.admin.figures import FIGURES
from qgsd.metrics import BUCKETS, WRITTEN, Declared

_HEAD = """# Metrics

`/metrics` of the management port, for Prometheus. Made by `scripts/docs`.

Scrape it like this (the token only where one is set and Prometheus runs on another machine):

```yaml
scrape_configs:
- job_name: qgsd
  authorization: {credentials_file: /etc/prometheus/qgsd.token}
  static_configs: [{targets: ["maps.example:19876"]}]
```

**Labels are bounded.** `project` has the names of at most `[management] metric_projects` projects that QGIS
has answered for; all others together are `other`, and what belongs to no project is `none`. `service` and
`request` are those that QGIS Server knows, `other`, or `none`.

**Scale on `qgsd_saturation`**: workers × saturation / 0.7 is how many workers keep them busy for 70 % of the
time. It counts the workers of all machines at the queue.

Counters of http children outlive the children; all counters begin anew with the master. Figures of the
queue and of projects are missing on worker machines: the proxy tells them.
"""


def _row(declared: Declared) -> str:
    labels = " ".join(f"`{label}`" for label in declared.labels)
    return f"| `{declared.name}` | {declared.kind} | {labels} | {declared.help} |"


def markdown() -> str:
    table = ["| Name | Kind | Labels | Meaning |", "|---|---|---|---|"]
    counted = "\n".join([*table, *map(_row, WRITTEN)])
    told = "\n".join([*table, *(_row(declared) for declared, _ in FIGURES)])
    bounds = ", ".join(f"{bound:g}" for bound in BUCKETS)
    return (
        f"{_HEAD}\n## Requests, as clients see them\n\n{counted}\n\n"
        f"Bounds of the histograms, in seconds: {bounds}.\n\n## The instance\n\n{told}\n"
    )
