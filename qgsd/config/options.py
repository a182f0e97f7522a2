# SPDX-License-Identifier: GPL-2.0-or-later
"""All options of qgsd. To add one, add a field here: nothing else has to know."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from qgsd.keeping import parse_rule, pattern_name
from qgsd.location import Alias, alias_name

from . import public
from .declaration import RUN, STOP, WORKER, OpenSection, option
from .kinds import (
    Boolean,
    Checked,
    Choice,
    Integer,
    List,
    Number,
    Path,
    Paths,
    Size,
    Text,
    Url,
    address,
    header_list,
    header_prefix,
)

_DAY = 86400.0


def _scheme_or_all(text: str) -> str:
    if text != "*" and not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", text):
        raise ValueError(f"{text!r} is not a scheme")
    return text.lower()


def _tenant(text: str) -> str:
    if not text.strip():
        raise ValueError("a name is missing")
    return text


def _rule(text: str) -> str:
    parse_rule(text)
    return text


def _headers(text: str) -> str:
    header_list(text)
    return text


def plugin_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError(f"{text!r} is not the name of a Python package")
    return text


@dataclass(frozen=True)
class ServerSettings:
    """[server]: where and how HTTP is served, and by how many processes."""

    port: int = option(
        8080,
        Integer(0, 65535),
        "port to listen on; 0 lets the kernel choose",
        env="QGSRV_SERVER_HTTP_PORT",
        flag=("-p", "--port"),
        metavar="PORT",
    )
    interfaces: tuple[str, ...] = option(
        ("0.0.0.0",),
        List(address, "IPv4 or IPv6 addresses, host names, unix:/path"),
        "addresses to listen on",
        flag=("-b", "--bind"),
        metavar="IP",
    )
    workers: int = option(
        2,
        Integer(0, 1000),
        "QGIS processes",
        flag=("-w", "--workers"),
        metavar="NUM",
        commands=(RUN, WORKER),
        live=True,
    )
    jobs: int = option(1, Integer(1, 64), "HTTP children", flag=("-j", "--jobs"), metavar="NUM", live=True)
    timeout: float = option(
        20.0,
        Number(0, _DAY, above=True),
        "seconds after which a request is answered 504",
        flag=("--timeout",),
        metavar="SECONDS",
        live=True,
    )
    proxy: bool = option(
        False,
        Boolean(),
        "serve HTTP and queue only, workers of other machines do the rendering",
        flag=("--proxy",),
    )
    setuid: str = option(
        "",
        Text(r"[^\s:/]+", "a user name", empty=True),
        "user to run as, once the port is open",
        flag=("-u", "--setuid"),
        metavar="USER",
    )
    instance: str = option(
        "qgsd",
        Text(r"[A-Za-z0-9._-]{1,64}", "up to 64 letters, digits, . _ -"),
        "name that tells several daemons on one machine apart",
        flag=("--instance",),
        metavar="NAME",
        commands=(RUN, STOP),
    )
    pidfile: str = option(
        "",
        Path(),
        "file for the master's process id; empty = qgsd's own folder",
        flag=("--pidfile",),
        metavar="PATH",
        commands=(RUN, WORKER, STOP),
    )
    ssl: bool = option(False, Boolean(), "serve HTTPS")
    ssl_cert: str = option("", Path(), "certificate for HTTPS, with its chain (PEM)")
    ssl_key: str = option("", Path(), "private key of the certificate (PEM)")
    compression: bool = option(
        True, Boolean(), "compress text for clients that take gzip or brotli", live=True
    )
    cross_origin: bool = option(True, Boolean(), "let pages of other sites read answers (CORS)", live=True)
    http_proxy: bool = option(
        False, Boolean(), "trust X-Forwarded-*, Forwarded and X-Qgis-*-Url: a proxy sends them", live=True
    )
    proxy_url: str = option(
        "",
        Text(r"https?://[^\s/?#]+(/[^\s?#]*)?", "an http or https URL without a query", empty=True),
        "address under which clients reach this server, with its path; it counts more than what a proxy says",
        live=True,
    )
    allow_headers: tuple[str, ...] = option(
        ("*",),
        List(header_prefix, "beginnings of header names, or * for all"),
        "request headers that plugins see, beside those that QGIS itself needs",
        live=True,
    )
    single_flight: bool = option(
        True,
        Boolean(),
        "answer GET requests that are the same to QGIS and its plugins, headers included, by one rendering",
        live=True,
    )
    pluginpath: str = option("", Path(), "folder of QGIS Server plugins, instead of QGIS_PLUGINPATH")
    plugin_apis: bool = option(
        True, Boolean(), "OGC APIs of plugins that [api.endpoints] does not name may be asked too", live=True
    )
    status_page: bool = option(False, Boolean(), "tell versions and state at /status", live=True)
    debug_request_id: str = option(
        "",
        Text(r"[!-~]+", "an X-Debug-Id, * for any", empty=True),
        "requests with this X-Debug-Id are logged in full by their worker",
        live=True,
    )
    restartmon: str = option("", Path(), "a file whose change replaces all workers, without losing a request")
    restartmon_check_time: int = option(
        3000,
        Integer(10, 86_400_000),
        "milliseconds between looks at restartmon and at the plugins",
        live=True,
    )
    max_body_size: int = option(64 * 1024**2, Size(), "largest request body; above it 413", live=True)
    max_uri_size: int = option(32 * 1024, Size(), "longest request URI; above it 414", live=True)
    max_header_size: int = option(64 * 1024, Size(), "largest request headers; above it 431", live=True)
    client_timeout: float = option(
        30.0, Number(0, _DAY, above=True), "seconds a client may take to send its request", live=True
    )
    keepalive_timeout: float = option(
        75.0, Number(0, _DAY), "seconds an idle connection is kept open", live=True
    )
    memory_high_water_mark: float = option(
        0.9,
        Number(0, 1),
        "share of the memory in use above which the largest worker is replaced; 0 = never",
        live=True,
    )
    getfeaturelimit: int = option(
        -1, Integer(-1, 1_000_000_000), "most features in an answer to WFS GetFeature; -1 = any number"
    )
    spool_memory: int = option(
        4 << 20, Size(), "bytes of an answer kept in memory for a slow client", live=True
    )
    spool_file: int = option(
        1 << 30, Size(), "bytes of an answer kept in a temporary file beyond that", live=True
    )


@dataclass(frozen=True)
class LoggingSettings:
    """[logging]: what is told, and where."""

    level: str = option(
        "info",
        Choice(("debug", "info", "warning", "error", "critical")),
        "least important messages to log",
        flag=("--logging",),
        metavar="{debug,info,warning,error}",
        commands=(RUN, WORKER),
        live=True,
    )
    file: str = option("", Path(), "log here instead of stderr")
    access: str = option("-", Path(words=("-", "off"), empty=False), "access log: - (stdout), off, or a file")
    qgis_info: bool = option(
        False, Boolean(), "QGIS's own info messages too", live=True, also=("QGSRV_QGIS_INFO",)
    )


@dataclass(frozen=True)
class CacheSettings:
    """[cache]: the projects, and how workers keep them."""

    size: int = option(10, Integer(1, 100_000), "projects a worker keeps open", live=True)
    rootdir: tuple[str, ...] = option(
        (),
        Paths(),
        "folders of the projects, the first that has one wins; empty = the current directory",
        flag=("--rootdir",),
        metavar="PATH",
        commands=(RUN, WORKER),
    )
    strict_check: bool = option(True, Boolean(), "refuse projects with invalid layers (422)", live=True)
    check_interval: float = option(
        1.0,
        Number(0, _DAY),
        "seconds between looks at whether open projects have changed; 0 = all the time",
        live=True,
    )
    preload_config: str = option(
        "", Path(), "file of projects to keep open at all times, one a line as in MAP=", live=True
    )
    default_project: str = option(
        "",
        Text(empty=True),
        "the project of requests that name none, as in MAP= or the path of its file",
        also=("QGIS_PROJECT_FILE",),
        live=True,
    )
    load_timeout: float = option(
        60.0,
        Number(0, _DAY, above=True),
        "seconds a project may take to load before it is asked for; its worker is killed then",
        live=True,
    )
    broken_ttl: float = option(
        5.0,
        Number(0, _DAY),
        "seconds before a project that did not load is tried again, unless it changes",
        live=True,
    )
    allow_storage_schemes: tuple[str, ...] = option(
        ("*",),
        List(_scheme_or_all, "schemes (file, postgresql, geopackage …), or *"),
        "stores that projects may come from, also through a scheme of [projects.schemes]",
        live=True,
    )
    insecure: bool = option(
        False,
        Boolean(),
        "let clients name databases in MAP (postgresql://user@host?dbname=…); a password never",
        live=True,
    )
    default_handler: str = option(
        "file",
        Text(r"[A-Za-z][A-Za-z0-9_-]*", "a scheme"),
        "scheme of a MAP that names none",
        live=True,
    )
    trust_layer_metadata: bool = option(
        False,
        Boolean(),
        "take extents and keys of layers from the project, without asking the data: loads quicker",
        env="QGSRV_TRUST_LAYER_METADATA",
        also=("QGIS_SERVER_TRUST_LAYER_METADATA",),
    )
    disable_getprint: bool = option(
        False,
        Boolean(),
        "refuse GetPrint and leave out layouts: loads quicker",
        env="QGSRV_DISABLE_GETPRINT",
        also=("QGIS_SERVER_DISABLE_GETPRINT",),
    )
    force_readonly_layers: bool = option(
        True,
        Boolean(),
        "open layers for reading only, so that no client can write (WFS-T)",
        also=("QGIS_SERVER_FORCE_READONLY_LAYERS",),
    )
    disable_owsurls: bool = option(
        False, Boolean(), "ignore the addresses of the service that a project gives for itself"
    )


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


@dataclass(frozen=True)
class WorkerSettings:
    """[worker]: for `qgsd worker`, the proxy it works for."""

    host: str = option(
        "",
        Text(r"[^\s/]+", "a host name or address", empty=True),
        "machine of the proxy, only for qgsd worker",
        flag=("--host",),
        metavar="HOST",
        commands=(WORKER,),
    )
    port: int = option(
        18080,
        Integer(1, 65535),
        "port of the proxy, only for qgsd worker",
        flag=("--port",),
        metavar="PORT",
        commands=(WORKER,),
    )


@dataclass(frozen=True)
class ControlSettings:
    """[control]: where qgsdctl reaches the master."""

    address: str = option(
        "",
        Text(
            r"ipc:///\S+|tcp://(127(\.[0-9]{1,3}){3}|localhost|\[::1\]):[0-9]{1,5}",
            "ipc:///PATH or tcp://127.0.0.1:PORT",
            empty=True,
        ),
        "address of the control socket; empty = a socket in the pidfile's folder",
        flag=("--control",),
        metavar="ADDRESS",
        commands=(RUN, WORKER, STOP),
    )


@dataclass(frozen=True)
class ManagementSettings:
    """[management]: the port for metrics, the dashboard and the control commands as REST."""

    enabled: bool = option(False, Boolean(), "serve the management port")
    interfaces: tuple[str, ...] = option(
        ("127.0.0.1",),
        List(address, "IPv4 or IPv6 addresses, host names, unix:/path"),
        "addresses of the management port; from other machines it wants the token",
    )
    port: int = option(19876, Integer(0, 65535), "management port to listen on; 0 lets the kernel choose")
    ssl: bool = option(False, Boolean(), "serve HTTPS on the management port")
    ssl_cert: str = option("", Path(), "certificate of the management port, with its chain (PEM)")
    ssl_key: str = option("", Path(), "private key of that certificate (PEM)")
    token: str = option(
        "",
        Text(r"[!-~]+", "visible ASCII characters without blanks", empty=True),
        "who sends it as Bearer token may change things; without one nobody may",
        live=True,
        secret=True,
    )
    token_file: str = option("", Path(), "file with the token, instead of token", live=True)
    metric_projects: int = option(
        50, Integer(0, 1000), "projects that metrics tell apart; all others together are `other`", live=True
    )


@dataclass(frozen=True)
class SupervisionSettings:
    """[supervision]: how patient the master is with its children; 0 = no bound."""

    project_workers: int = option(
        0,
        Integer(0, 1000),
        "most workers one project may occupy while others are asked for; 0 = all but one",
        live=True,
    )
    nested_depth: int = option(
        4, Integer(0, 16), "how deep projects may show maps of this very server; beyond it 508", live=True
    )
    breaker_timeouts: int = option(
        3, Integer(0, 1000), "time-outs in a row after which a project is refused for a while", live=True
    )
    breaker_pause: float = option(
        10.0,
        Number(0, _DAY, above=True),
        "seconds a project is refused at first, then one request probes",
        live=True,
    )
    quarantine_size: int = option(
        100, Integer(0, 10_000), "requests that crash QGIS to keep from running", live=True
    )
    quarantine_ttl: float = option(
        600.0, Number(0, 365 * _DAY), "seconds a request that crashed QGIS twice is not run", live=True
    )
    memory_limit: int = option(
        0, Size(0), "bytes of its own a worker may use before it is replaced", live=True
    )
    memory_hard_limit: int = option(
        0, Size(0), "bytes of its own a worker may use before it is killed", live=True
    )
    max_requests: int = option(
        0,
        Integer(0, 1_000_000_000),
        "requests after which a worker is replaced (up to a tenth more)",
        live=True,
    )
    max_age: float = option(
        0.0, Number(0, 365 * _DAY), "seconds after which a worker is replaced (up to a tenth more)", live=True
    )
    beat_timeout: float = option(
        5.0,
        Number(0, _DAY),
        "seconds an idle child may show no life before it is killed (stopped by SIGSTOP: two at most)",
        live=True,
    )
    burn_timeout: float = option(
        30.0, Number(0, _DAY), "seconds an idle worker may use a processor before it is replaced", live=True
    )
    stall_timeout: float = option(
        0.0, Number(0, _DAY), "seconds a busy worker may use no processor before it is killed", live=True
    )

    start_timeout: float = option(
        60.0, Number(0, _DAY, above=True), "seconds a child may take to become ready"
    )
    kill_grace: float = option(
        1.0, Number(0, _DAY), "seconds over its deadline before a worker is killed", live=True
    )
    stop_timeout: float = option(30.0, Number(0, _DAY), "seconds a graceful stop may take", live=True)
    backoff_max: float = option(
        30.0,
        Number(0, _DAY, above=True),
        "longest pause, in seconds, before a crashing child is started again",
        live=True,
    )
    worker_grace: float = option(
        5.0,
        Number(0, _DAY),
        "seconds without any worker before requests are refused at once with 503",
        live=True,
    )


@dataclass(frozen=True)
class FairnessSettings:
    """[fairness]: how the workers' time is shared when there is not enough of it."""

    key: str = option(
        "project",
        Choice(("project", "client")),
        "those who get equal parts of the time: projects, or the addresses of clients",
        live=True,
    )


@dataclass(frozen=True)
class AnswersSettings:
    """[answers]: answers that are kept, so that the same request costs no worker."""

    documents: bool = option(
        True,
        Boolean(),
        "keep GetCapabilities and the like until the project changes",
        live=True,
    )
    memory: int = option(64 << 20, Size(), "bytes of answers an HTTP child keeps in memory", live=True)
    disk: int = option(
        256 << 20, Size(), "bytes of answers that all HTTP children share on disk; 0 = none there"
    )
    folder: str = option(
        "", Path(), "folder for the answers on disk; empty = qgsd's own, in /run often memory too"
    )
    largest: int = option(4 << 20, Size(), "largest answer to keep", live=True)


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
    api_endpoints: dict[str, str] = field(default_factory=dict)
    api_enabled: dict[str, bool] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    answers: AnswersSettings = field(default_factory=AnswersSettings)
    answer_rules: dict[str, str] = field(default_factory=dict)
    answer_plugins: dict[str, str] = field(default_factory=dict)


OPEN_SECTIONS = (
    OpenSection(
        section="projects.schemes",
        field="schemes",
        name=alias_name,
        names="letters, digits, _ or -, other than file",
        kind=Url(Alias.parse, "a URL of a store that ends in / or has {path} in it, or names a database"),
        about="schemes for MAP that stand for a place in a store of projects.",
        help="MAP=NAME:path is the project of that path there",
        example="gis=postgresql:?service=gis&schema=public&project={path}",
        live=True,
    ),
    OpenSection(
        section="fairness.weights",
        field="weights",
        name=_tenant,
        names="a project as in MAP, or the address of a client as fairness.key says, with _ for :",
        kind=Number(0, 1000, above=True),
        about="who may have more or less of the workers' time than others.",
        help="NAME may have so many times the part of the others, who count 1",
        example="town/sewers=4",
        live=True,
    ),
    *public.OPEN_SECTIONS,
    OpenSection(
        section="answers.projects",
        field="answer_rules",
        name=pattern_name,
        names="a project as in MAP=, with * for any letters",
        kind=Checked(_rule, "any of images SECONDS, features SECONDS, documents no, separated by commas"),
        about="which projects' images and features are kept as well, and for how long.",
        help="how long images and features of these projects may be answered from what is kept",
        example="town/*=images 3600, features 60",
        live=True,
    ),
    OpenSection(
        section="answers.plugins",
        field="answer_plugins",
        name=plugin_name,
        names="the name of a plugin's folder",
        kind=Checked(_headers, "request headers separated by commas, or nothing"),
        about="on which request headers the answers depend where a plugin has a say in them.",
        help="the headers that this plugin reads; else nothing is kept while it is loaded",
        example="lizmap_server=X-Lizmap-User, X-Lizmap-User-Groups",
    ),
)
