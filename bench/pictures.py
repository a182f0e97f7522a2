# SPDX-License-Identifier: GPL-2.0-or-later
"""The right answers of a server that writes QGIS's pictures in bytes of its own."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from PIL import Image

from bench.load import Request
from bench.servers.base import Server, ServerFailed


def accepted(server: Server, requests: Iterable[Request], right: Mapping[str, bytes]) -> tuple[Request, ...]:
    """The requests, each with the body that this server gives, once it has been found to show the same.

    Raises `ServerFailed` for a picture with other pixels than the `right` one, which are by path.
    """
    told = []
    for request in requests:
        status, _, body = server.fetch(request)
        if status != request.status or _pixels(body) != _pixels(right[request.path]):
            raise ServerFailed(f"{server.name}: {status}, or other pixels, for {request.path}")
        told.append(replace(request, expected=(len(body), zlib.crc32(body))))
    return tuple(told)


def _pixels(data: bytes) -> tuple[tuple[int, int], bytes]:
    with Image.open(io.BytesIO(data)) as picture:
        return picture.size, picture.convert("RGBA").tobytes()
