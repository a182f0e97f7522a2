# SPDX-License-Identifier: GPL-2.0-or-later
"""The queue between HTTP and workers."""

from __future__ import annotations

from dataclasses import dataclass

from ..declaration import WORKER, option
from ..kinds import Boolean, Integer, Path, Text


@dataclass(frozen=True)
class ZmqSettings:
    """[zmq]: the queue between HTTP and workers."""

    identity: str = option(
        "OWS-SERVER",
        Text(r"\S{1,200}", "up to 200 characters without blanks"),
        "name under which workers join the queue",
    )
    hostaddr: str = option(
        "*",
        Text(r"[^\s/:]+|\[[0-9A-Fa-f:.]+\]", "* or a host name or address"),
        "where bindaddr and worker.host are not given: the machine with the queue",
    )
    bindaddr: str = option(
        "tcp://*:18080",
        Text(r"tcp://\S+:([0-9]{1,5}|\*)|ipc:///\S+", "tcp://ADDRESS:PORT or ipc:///PATH"),
        "where --proxy listens for workers",
        env="QGSRV_ZMQ_INADDR",
    )
    maxqueue: int = option(1000, Integer(1, 1_000_000), "requests that may wait; above it 503", live=True)
    timeout: int = option(
        15000, Integer(1, 86_400_000), "milliseconds a request may wait in the queue", live=True
    )
    key_file: str = option(
        "",
        Path(),
        "file of the cluster key, made by `qgsd keygen`: workers and proxy of one cluster share it",
        env="QGSRV_ZMQ_KEY_FILE",
        flag=("--key-file",),
        metavar="PATH",
        commands=(WORKER,),
    )
    key: str = option(
        "",
        Text(
            r"qgsd-[\w-]{43}(\s*,\s*qgsd-[\w-]{43})*|[^\s,]*/[^\s,]+",
            "a key made by `qgsd keygen`, or its file",
            empty=True,
        ),
        "the cluster key itself, for containers; weaker than key_file",
        secret=True,
    )
    insecure: bool = option(
        False, Boolean(), "without a key: accept workers of other machines unencrypted, whoever they are"
    )
