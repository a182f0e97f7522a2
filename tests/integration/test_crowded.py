# SPDX-License-Identifier: GPL-2.0-or-later
"""Many idle and slow connections beside a normal client: nobody is refused, and it notices little.

Small here. In full, with the bound on what the normal client may notice, on a machine with nothing to do:
`CROWD_IDLE=1000 CROWD_SLOW=200 pytest -s tests/integration/test_crowded.py`.
"""

from __future__ import annotations

import http.client
import os
import time

from tests.integration.crowding import Crowd
from tests.integration.instance import GET_MAP, Instance, ows_path

IDLE = int(os.environ.get("CROWD_IDLE", "150"))
SLOW = int(os.environ.get("CROWD_SLOW", "30"))
FULL = IDLE >= 1000
ROUNDS = 500 if FULL else 30
CAPABILITIES = ows_path(SERVICE="WMS", VERSION="1.3.0", REQUEST="GetCapabilities")
FEATURES = ows_path(
    SERVICE="WFS", VERSION="1.1.0", REQUEST="GetFeature", TYPENAME="countries", OUTPUTFORMAT="GeoJSON"
)


def _times(instance: Instance) -> list[float]:
    """Seconds of each answer to a client that asks for a rendered map and for what is kept, in turn."""
    connection = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=30)
    took = []
    for number in range(ROUNDS):
        # A picture of its own each time, so that none is shared.
        wanted = GET_MAP | {"BBOX": f"-2000000,3000000,{4000000 + number},9000000"}
        for target in (ows_path(**wanted), CAPABILITIES):
            began = time.monotonic()
            connection.request("GET", target)
            response = connection.getresponse()
            response.read()
            took.append(time.monotonic() - began)
            assert response.status == 200
    connection.close()
    return took


def _slowest(times: list[float], share: float = 0.99) -> float:
    return sorted(times)[int(share * (len(times) - 1))]


def test_idle_and_slow_connections_disturb_no_normal_client(server: Instance) -> None:
    _times(server)
    alone = _times(server)
    with Crowd(server.port, IDLE, SLOW, FEATURES) as crowd:
        beside = _times(server)
    fate = crowd.fate
    after = _times(server)
    for name, times in (("alone", alone), ("beside", beside), ("after", after)):
        print(f"{name}: median {_slowest(times, 0.5) * 1000:.1f} ms, p99 {_slowest(times) * 1000:.1f} ms")
    print(f"{fate}; http child {server.child('http').memory_info().rss >> 20} MiB")
    assert (fate.connected, fate.refused, fate.cut) == (IDLE + SLOW, 0, 0)
    if FULL:
        assert _slowest(beside) - _slowest(alone) < 0.050
