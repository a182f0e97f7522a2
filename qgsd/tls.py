# SPDX-License-Identifier: GPL-2.0-or-later
"""TLS of the service and the management port: made by children, tried by the master before it starts them."""

from __future__ import annotations

import ssl

from qgsd.config import ManagementSettings, ServerSettings


def server_context(settings: ServerSettings | ManagementSettings) -> ssl.SSLContext | None:
    """The TLS set-up, None with ssl=no. OSError or ssl.SSLError when the files are no good."""
    if not settings.ssl:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.ssl_cert, settings.ssl_key or None)
    return context
