# SPDX-License-Identifier: GPL-2.0-or-later
"""A database that accepts connections and never says anything, and projects that wait for it."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def silent_database() -> Iterator[int]:
    """Its port on loopback."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield int(listener.getsockname()[1])


def hung_project(projects: Path, port: int, name: str = "hung") -> None:
    """The example with its places in a PostgreSQL that hangs."""
    text = (projects / "world.qgs").read_text()
    source = (
        f"dbname='x' host=127.0.0.1 port={port} user='u' password='p' key='fid' "
        'type=Point table="public"."places" (geom)'
    )
    layer = re.compile(r"<datasource>[^<]*layername=places</datasource>")
    text, found = layer.subn(f"<datasource>{source}</datasource>", text)
    assert found, "the example has no layer of places"
    text = re.sub(
        r'(places" \(geom\)</datasource>.*?<provider[^>]*>)ogr(</provider>)',
        r"\1postgres\2",
        text,
        flags=re.DOTALL,
    )
    (projects / f"{name}.qgs").write_text(text)
