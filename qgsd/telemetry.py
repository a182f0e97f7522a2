# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether OpenTelemetry is asked for, by its own variables of the environment, and can be had.

Pure but for the import. Nothing of OpenTelemetry is imported unless it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
# They may have the key to the receiver in them.
SECRETS = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")

_EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_OURS = "http/protobuf"


def _said(environ: Mapping[str, str], *names: str) -> str:
    """The first of these variables that says something."""
    return next((value for name in names if (value := environ.get(name, "").strip())), "")


def is_asked_for(environ: Mapping[str, str]) -> bool:
    """Whether spans are to go anywhere.

    >>> is_asked_for({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}), is_asked_for({})
    (True, False)
    >>> is_asked_for({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_SDK_DISABLED": "true"})
    False
    """
    exporters = [name.strip() for name in (_said(environ, "OTEL_TRACES_EXPORTER") or "otlp").split(",")]
    disabled = _said(environ, "OTEL_SDK_DISABLED").lower() == "true"
    return bool(_said(environ, *ENDPOINTS)) and not disabled and "otlp" in exporters


def problem(environ: Mapping[str, str]) -> str:
    """Why there are no spans though they are asked for; empty when nothing stands in the way."""
    if not is_asked_for(environ):
        return ""
    asked = next(name for name in ENDPOINTS if _said(environ, name))
    protocol = _said(environ, *_PROTOCOLS)
    if protocol not in ("", _OURS):
        name = next(name for name in _PROTOCOLS if _said(environ, name))
        return f"no traces are exported: {name} is {protocol}, qgsd speaks {_OURS} only"
    try:
        importlib.import_module(_EXPORTER)
    except ImportError as error:
        return (
            f"no traces are exported: {asked} is set, but OpenTelemetry is not installed ({error}); "
            "install it (pip install 'qgsd[otel]'), or unset the variable"
        )
    return ""
