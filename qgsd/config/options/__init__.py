# SPDX-License-Identifier: GPL-2.0-or-later
"""All options of qgsd, a module for each section. To add one, add a field there: nothing else has to know."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import answers as _answers
from . import cache as _cache
from . import fairness as _fairness
from . import metatiles as _metatiles
from . import public
from . import server as _server
from .answers import AnswersSettings
from .cache import CacheSettings
from .confine import ConfineSettings
from .control import ControlSettings
from .fairness import FairnessSettings
from .landing import LandingSettings
from .logging import LoggingSettings
from .management import ManagementSettings
from .network import NetworkSettings
from .requests import RequestsSettings
from .server import ServerSettings
from .supervision import SupervisionSettings
from .worker import WorkerSettings
from .zmq import ZmqSettings


@dataclass(frozen=True)
class Settings:
    """Every option's value. Built by `load`, passed on to whoever needs it, never changed.

    >>> Settings().server.port
    8080
    """

    server: ServerSettings = field(default_factory=ServerSettings)
    logging: LoggingSettings = field(default_factory=LoggingSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    zmq: ZmqSettings = field(default_factory=ZmqSettings)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    control: ControlSettings = field(default_factory=ControlSettings)
    management: ManagementSettings = field(default_factory=ManagementSettings)
    supervision: SupervisionSettings = field(default_factory=SupervisionSettings)
    fairness: FairnessSettings = field(default_factory=FairnessSettings)
    schemes: dict[str, str] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    metadata: public.MetadataSettings = field(default_factory=public.MetadataSettings)
    landing: LandingSettings = field(default_factory=LandingSettings)
    api_endpoints: dict[str, str] = field(default_factory=dict)
    api_enabled: dict[str, bool] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    confine: ConfineSettings = field(default_factory=ConfineSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    requests: RequestsSettings = field(default_factory=RequestsSettings)
    answers: AnswersSettings = field(default_factory=AnswersSettings)
    answer_rules: dict[str, str] = field(default_factory=dict)
    answer_plugins: dict[str, str] = field(default_factory=dict)
    metatiles: dict[str, int] = field(default_factory=dict)
    certificates: dict[str, tuple[str, ...]] = field(default_factory=dict)


OPEN_SECTIONS = (
    *_server.OPEN_SECTIONS,
    *_cache.OPEN_SECTIONS,
    *_fairness.OPEN_SECTIONS,
    *public.OPEN_SECTIONS,
    *_answers.OPEN_SECTIONS,
    *_metatiles.OPEN_SECTIONS,
)

__all__ = [
    "OPEN_SECTIONS",
    "AnswersSettings",
    "CacheSettings",
    "ConfineSettings",
    "ControlSettings",
    "FairnessSettings",
    "LandingSettings",
    "LoggingSettings",
    "ManagementSettings",
    "NetworkSettings",
    "RequestsSettings",
    "ServerSettings",
    "SupervisionSettings",
    "WorkerSettings",
    "ZmqSettings",
    "public",
]
