# SPDX-License-Identifier: GPL-2.0-or-later
"""What the servers are asked."""

from typing import Any

from bench.workloads import requests
from bench.workloads.base import Alone, Repeated, Throughput, Workload
from bench.workloads.documents import NotModified
from bench.workloads.features import LargeAnswer
from bench.workloads.lifecycle import Memory, StartAndDeath
from bench.workloads.many_projects import ManyProjects
from bench.workloads.tenants import BesideHeavy, Views


def known() -> list[Workload | Alone[Any]]:
    """All of them, in the order of the table."""
    return [
        Repeated("capabilities", "GetCapabilities", requests.capabilities()),
        NotModified(requests.capabilities()),
        Throughput("legend", "GetLegendGraphic, 200 different", requests.legends(), 1.5, pictures=True),
        Repeated("same-tile", "GetMap 256 px, always the same", requests.tile(33, 21)),
        Throughput("tiles", "GetMap 256 px, 400 different", requests.tiles(), 3.0, pictures=True),
        Throughput(
            "light-tiles", "GetMap 256 px, 400 light ones", requests.light_tiles(), 1.5, pictures=True
        ),
        Throughput("labelled", "labelled map 800×400", requests.labelled_maps(), 3.0, pictures=True),
        Throughput(
            "features",
            "GetFeature 2.2 MB",
            [requests.features("counties", number) for number in range(40)],
            2.0,
        ),
        LargeAnswer("all-places", "GetFeature 31 MB", requests.features("places")),
        BesideHeavy(),
        Repeated("kept-tile", "GetMap 256 px, kept where that can be", requests.tile(33, 21), kept=True),
        Views("view", "24 tiles of a view at once"),
        Views("view-joined", "the same, neighbours drawn as one where that can be", metatiles=8),
        ManyProjects(),
        StartAndDeath(),
        Memory(),
    ]
