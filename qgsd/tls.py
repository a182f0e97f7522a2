# SPDX-License-Identifier: GPL-2.0-or-later
"""TLS of the service port: made by http children, tried by the master before it starts them."""

from __future__ import annotations

import ssl

from qgsd.config import Settings


def server_context(settings: Settings) -> ssl.SSLContext | None:
    """The TLS set-up, None without server.ssl. OSError or ssl.SSLError when the files are no good."""
    if not settings.server.ssl:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.server.ssl_cert, settings.server.ssl_key or None)
    return context
