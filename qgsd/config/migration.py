# SPDX-License-Identifier: GPL-2.0-or-later
"""The options and variables of py-qgis-server 1.9, and what becomes of each. `loading` acts on it.

Most are options of qgsd as well. A name that is none either needs nothing (`idle`), or is refused with what
to use instead: in a file it stops the start, as any unknown key does; in the environment it is told.
"""

from __future__ import annotations

from dataclasses import dataclass

_NOTHING = ("", "no", "false", "off", "0")

_MONITOR = "the access log (logging.access) and /metrics of [management] tell of every request"
_BAN = (
    "answers carry X-Map-Id: send bans from `qgsdctl --json events --follow` at project.flipped, "
    "or let the cache ask again by ETag"
)
_MINE = "of your own choice, as there"


@dataclass(frozen=True)
class Name:
    """An option of py-qgis-server.

    :param key: `*` for every further key of the section.
    :param default: its value there where nobody gives one.
    :param variable: the variable that sets it there; empty for none.
    :param note: where qgsd has the option, what is different; else why it needs nothing, or what to use.
    :param idle: qgsd has no such option and needs none.
    """

    section: str
    key: str
    default: str = ""
    variable: str = ""
    note: str = ""
    idle: bool = False

    def asks_for(self, value: str) -> bool:
        """Whether `value` asks for something that qgsd does not do."""
        return not self.idle and value.strip().lower() not in _NOTHING


@dataclass(frozen=True)
class Variable:
    """A variable that is no option; `name` may end in `*`."""

    name: str
    note: str


def _server(key: str, default: str, note: str = "", variable: str = "") -> Name:
    return Name("server", key, default, variable or f"QGSRV_SERVER_{key.upper()}", note)


def _cache(key: str, default: str, note: str = "", variable: str = "") -> Name:
    return Name("projects.cache", key, default, variable or f"QGSRV_CACHE_{key.upper()}", note)


def _management(key: str, default: str, note: str = "") -> Name:
    return Name("management", key, default, f"QGSRV_MANAGEMENT_{key.upper()}", note)


NAMES = (
    _server("port", "8080", variable="QGSRV_SERVER_HTTP_PORT"),
    _server("interfaces", "0.0.0.0", "several, separated by commas; also `unix:/path`"),
    _server("workers", "2", "changes while it serves: `qgsdctl scale`"),
    _server("timeout", "20", "fractions too; only the worker that is late is replaced"),
    _server(
        "enable_filters",
        "no",
        "filters are code inside that server's own HTTP handlers; use access control plugins of QGIS, "
        "or let the web server in front decide",
    ),
    _server(
        "http_proxy",
        "no",
        "`X-Forwarded-Proto` and `-Prefix` are heeded too; only proxies in private networks are believed, "
        "others want `trusted_proxies`",
    ),
    _server("proxy_url", "", "counts also without `http_proxy`"),
    _server("restartmon", ""),
    _server("restartmon_check_time", "3000"),
    _server("monitor", "", _MONITOR),
    _server("ssl", "no"),
    _server("ssl_cert", ""),
    _server("ssl_key", "", "may be empty where the certificate's file holds the key"),
    _server("cross_origin", "yes", "`no` allows no other origin; there it allows any that says its name"),
    _server(
        "status_page", "no", "versions and state; neither configuration nor environment, which hold secrets"
    ),
    _server("allow_headers", "X-Qgis-,X-Lizmap-", "`*` by default, as QGIS Server itself"),
    _server(
        "memory_high_water_mark", "0.9", "the limit of the container counts; a worker ends its request first"
    ),
    _server("getfeaturelimit", "-1", "counts for posted XML too"),
    _server("pluginpath", ""),
    _server("debug_request_id", "*", "nobody by default: whoever may log everything can fill a disk"),
    Name("logging", "level", "INFO", "QGSRV_LOGGING_LEVEL"),
    Name("logging", "qgis_info", "no", "QGSRV_LOGGING_QGIS_INFO"),
    Name("api.endpoints", "landing_page", "/catalog", "QGSRV_API_ENDPOINTS_LANDING_PAGE"),
    Name("api.endpoints", "lizmap_api", "/lizmap", "QGSRV_API_ENDPOINTS_LIZMAP"),
    Name("api.endpoints", "*", "", "QGSRV_API_ENDPOINTS_<NAME>", _MINE),
    Name("api.enabled", "landing_page", "no", "QGSRV_API_ENABLED_LANDING_PAGE"),
    Name("api.enabled", "lizmap_api", "no", "QGSRV_API_ENABLED_LIZMAP"),
    Name(
        "api.enabled", "*", "", "QGSRV_API_ENABLED_<NAME>",
        "`no` closes the endpoint; APIs that have none are open unless `server.plugin_apis=no`",
    ),
    Name("api:landing_page", "QGIS_SERVER_LANDING_PAGE_PREFIX", "${api.endpoints:landing_page}"),
    Name("api:landing_page", "QGIS_SERVER_LANDING_PAGE_PROJECTS_DIRECTORIES", "${projects.cache:rootdir}"),
    Name(
        "api:<name>", "*", "", "",
        "variables for QGIS and its plugins; `[environment]` here, all are one section",
    ),
    _cache("size", "10"),
    _cache("rootdir", "", "several, separated by commas; relative ones start at the file's folder"),
    _cache("strict_check", "yes"),
    _cache("insecure", "no", "even then no client may say a password"),
    _cache("preload_config", "", "loaded after the start, not before it"),
    _cache("trust_layer_metadata", "no", variable="QGSRV_TRUST_LAYER_METADATA"),
    _cache("disable_getprint", "no", variable="QGSRV_DISABLE_GETPRINT"),
    _cache("disable_owsurls", "no"),
    Name(
        "projects.cache", "force_etag", "no", "QGSRV_CACHE_FORCE_ETAG",
        "documents that depend on the project carry an ETag in any case", idle=True,
    ),
    _cache("default_handler", "file"),
    _cache("allow_storage_schemes", "*"),
    _cache("check_interval", "0", "1 by default; requests never wait for it"),
    _cache("observers", "", _BAN),
    Name(
        "projects.cache", "advanced_report", "no", "QGSRV_CACHE_ADVANCED_REPORT",
        "it went to monitors; `qgsdctl ps` and /metrics tell the memory of each worker", idle=True,
    ),
    _cache("force_readonly_layers", "yes", variable="QGIS_SERVER_FORCE_READONLY_LAYERS"),
    Name("projects.schemes", "*", "", "QGSRV_PROJECTS_SCHEMES_<SCHEME>", _MINE),
    Name("cache.observers:ban", "server_address", "", "QGSRV_CACHE_OBSERVERS_BAN_SERVER_ADDRESS", _BAN),
    Name("zmq", "identity", "OWS-SERVER", "QGSRV_ZMQ_IDENTITY"),
    Name("zmq", "maxqueue", "1000", "QGSRV_ZMQ_MAXQUEUE", "a full queue is answered 503 with Retry-After"),
    Name("zmq", "timeout", "15000", "QGSRV_ZMQ_TIMEOUT"),
    Name("zmq", "hostaddr", "*", "QGSRV_ZMQ_HOSTADDR"),
    Name("zmq", "bindaddr", "tcp://${zmq:hostaddr}:18080", "QGSRV_ZMQ_INADDR"),
    Name(
        "zmq", "broadcastaddr", "tcp://${zmq:hostaddr}:18090", "QGSRV_ZMQ_BROADCASTADDR",
        "workers hear of restarts over the one connection that they have", idle=True,
    ),
    Name(
        "zmq", "cache_observer_addr", "tcp://${zmq:hostaddr}:18091", "QGSRV_ZMQ_CACHEOBSERVERADDR",
        "workers tell of changed projects over the one connection that they have", idle=True,
    ),
    *(
        Name("monitor:amqp", key, default, variable, _MONITOR, idle=True)
        for key, default, variable in (
            ("routing_key", "", "AMQP_ROUTING"),
            ("default_routing_key", "", "QGSRV_MONITOR_AMQP_DEFAULT_ROUTING_KEY"),
            ("host", "amqp", "AMQP_HOST"),
            ("user", "", "AMQP_USER"),
            ("vhost", "/", "AMQP_VHOST"),
            ("port", "5672", "AMQP_PORT"),
            ("exchange", "qgis_log", "AMQP_EXCHANGE"),
            ("reconnect_delay", "5", "AMQP_RECONNECT_DELAY"),
        )
    ),
    _management("enabled", "no"),
    _management("interfaces", "127.0.0.1", "several; from other machines the port wants the `token`"),
    _management("port", "19876"),
    _management("ssl", "no"),
    _management("ssl_cert", ""),
    _management("ssl_key", "", "by variable too; there its name was misspelt"),
    *(
        Name("metadata", key, default, f"QGSRV_METADATA_{key.upper()}")
        for key, default in (
            ("title", ""), ("description", ""), ("terms_of_service", ""),
            ("contact_name", "3liz"), ("contact_address", ""), ("contact_email", "info@3liz.com"),
            ("contact_url", "https://www.3liz.com/"), ("licence_name", "Mozilla Public Licences, v2.0"),
            ("licence_url", "http://mozilla.org/MPL/2.0/"),
            ("external_doc_description", "Py-qgis-server documentation"),
            ("external_doc_url", "https://docs.3liz.org/py-qgis-server/"),
        )
    ),
)  # fmt: skip

# Those that qgsd or QGIS itself reads are no news to anybody; the others are told if somebody sets them.
VARIABLES = (
    Variable("QGSRV_MONITOR_TAG_*", _MONITOR),
    Variable("AMQP_GLOBAL_TAG_*", _MONITOR),
    Variable("AMQPPASSFILE", _MONITOR),
    Variable("PY_QGIS_SERVER_REQUEST_LOG", "logging.access names the file of the access log"),
    Variable("QGSRV_SERVER_PROFILES", "profiles ended with 1.4; use access control plugins of QGIS"),
    Variable("QGSRV_DATA_PATH", "not read by that server either"),
    Variable("QGSRV_USER", "of that server's container image; use server.setuid"),
    Variable("QGSRV_DISPLAY_XVFB", "QGIS draws without a display"),
    Variable("QGSRV_XVFB_ARGS", "QGIS draws without a display"),
)

UNDERSTOOD_VARIABLES = (
    Variable("QGIS_SERVER_TRUST_LAYER_METADATA", "sets cache.trust_layer_metadata"),
    Variable("QGIS_SERVER_DISABLE_GETPRINT", "sets cache.disable_getprint"),
    Variable("QGIS_SERVER_FORCE_READONLY_LAYERS", "sets cache.force_readonly_layers"),
    Variable("QGIS_PROJECT_FILE", "sets cache.default_project"),
    Variable("QGIS_PLUGINPATH", "the folder of plugins, unless server.pluginpath says another"),
    Variable("QGIS3_PLUGINPATH", "a folder of Python packages of QGIS for its plugins, as there"),
    Variable("QGIS3_HOME", "where QGIS is installed, as there"),
    Variable("QGIS_OPTIONS_PATH", "read by QGIS"),
    Variable("QGIS_SERVER_*", "read by QGIS and its plugins"),
    Variable("PGSERVICEFILE, PGPASSFILE, PG*", "read by PostgreSQL's library"),
)


def name_of(section: str, key: str) -> Name | None:
    """The option of py-qgis-server of that name; none of those that `*` stands for."""
    section = "projects.cache" if section == "cache" else section
    return next((name for name in NAMES if (name.section, name.key) == (section, key)), None)


def has_section(section: str) -> bool:
    """Whether py-qgis-server has the section."""
    return any(name.section == section for name in NAMES)


def set_by(variable: str) -> Name | None:
    """The option of py-qgis-server that this variable sets."""
    return next((name for name in NAMES if name.variable == variable), None)


def variable_named(variable: str) -> Variable | None:
    """The variable of py-qgis-server, of those that are no options and that nobody reads here."""
    for known in VARIABLES:
        if known.name == variable or (known.name.endswith("*") and variable.startswith(known.name[:-1])):
            return known
    return None
