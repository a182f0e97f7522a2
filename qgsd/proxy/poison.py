# SPDX-License-Identifier: GPL-2.0-or-later
"""A request in quarantine as people need it: so that they can repeat it."""

from __future__ import annotations

import zmq

from qgsd import messages
from qgsd.proxy.decisions import Quarantined

# Bytes of a posted body that are kept; the whole of nearly every request for features or a map.
_BODY = 8 << 10


def poison_of(noted: Quarantined) -> messages.Poison:
    """From the frames of the request, which `noted.payload` holds."""
    header, body = noted.payload
    assert isinstance(header, zmq.Frame)
    request = messages.decode_request(header.buffer)
    types = [value for name, value in request.headers if name.lower() == "content-type"]
    return messages.Poison(
        fingerprint=noted.fingerprint,
        project=noted.key,
        request=f"{request.method} {request.url}",
        reason=noted.message,
        until=noted.until,
        content_type=types[0] if types else "",
        body=bytes(body.buffer[:_BODY]),
        length=len(body.buffer),
    )
