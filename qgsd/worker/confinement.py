# SPDX-License-Identifier: GPL-2.0-or-later
"""What a worker gives up before it serves: RLIMITs, soft and hard, so that it cannot take them back."""

from __future__ import annotations

import resource

from qgsd.config import ConfineSettings


def apply(settings: ConfineSettings) -> None:
    """Once in each worker, after the fork. A limit that is lower already stays."""
    wanted = {
        resource.RLIMIT_AS: settings.address_space,
        resource.RLIMIT_NOFILE: settings.open_files,
        resource.RLIMIT_FSIZE: settings.file_size,
    }
    for kind, limit in wanted.items():
        if limit:
            _lower(kind, limit)
    if not settings.core_dumps:
        _lower(resource.RLIMIT_CORE, 0)


def _lower(kind: int, limit: int) -> None:
    soft, hard = resource.getrlimit(kind)
    bounds = [limit, *(bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY)]
    resource.setrlimit(kind, (min(bounds), limit if hard == resource.RLIM_INFINITY else min(hard, limit)))
