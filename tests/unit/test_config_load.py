# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading: who wins, where a value came from, and what an operator reads when something is wrong."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qgsd.config import (
    ConfigError,
    Declaration,
    Loaded,
    Settings,
    changes,
    declarations,
    find,
    kinds,
    load,
    loading,
    named,
)

# The contract's file, word for word.
SAMPLE = """\
[server]
port=8080          # QGSRV_SERVER_HTTP_PORT
interfaces=0.0.0.0 # QGSRV_SERVER_INTERFACES
workers=2          # QGSRV_SERVER_WORKERS
timeout=20         # QGSRV_SERVER_TIMEOUT

[logging]
level=DEBUG # QGSRV_LOGGING_LEVEL

[cache]
size=10    # QGSRV_CACHE_SIZE
rootdir=   # QGSRV_CACHE_ROOTDIR

[zmq]
identity=OWS-SERVER     # QGSRV_ZMQ_IDENTITY
bindaddr=tcp://*:18080  # QGSRV_ZMQ_INADDR
maxqueue=1000           # QGSRV_ZMQ_MAXQUEUE
timeout=15000           # QGSRV_ZMQ_TIMEOUT
"""

Load = Callable[[str], Loaded]


@pytest.fixture
def ini(tmp_path: Path) -> Load:
    """Loads a file of this text, and nothing else."""

    def load_text(text: str) -> Loaded:
        path = tmp_path / "qgsd.ini"
        path.write_text(text, encoding="utf-8")
        return load(str(path), {}, {})

    return load_text


def two_texts(declared: Declaration) -> tuple[str, str]:
    """Two texts for an option that stand for different values, the first not the default."""
    special = {
        "server.setuid": ("www-data", "qgis"),
        "server.instance": ("blue", "green"),
        "server.proxy_url": ("https://maps.example/", "http://maps.example/geo"),
        "server.allow_headers": ("X-Qgis-", "X-Lizmap-, *"),
        "zmq.identity": ("ONE", "TWO"),
        "zmq.key": ("/one", "qgsd-" + 43 * "a"),
        "zmq.bindaddr": ("tcp://127.0.0.1:1", "ipc:///run/q"),
        "zmq.hostaddr": ("127.0.0.1", "proxy.example"),
        "server.debug_request_id": ("abc", "*"),
        "worker.host": ("proxy.example", "10.0.0.1"),
        "worker.name": ("north", "rack-2.example"),
        "management.token": ("one", "two"),
        "control.address": ("ipc:///run/c", "tcp://127.0.0.1:7000"),
        "control.readonly": ("ipc:///run/l", "tcp://127.0.0.1:7001"),
        "confine.ports": ("5432", "5432, 5433"),
        "control.group": ("adm", "gis"),
        "control.readonly_group": ("adm", "*"),
        "cache.default_handler": ("maps", "gis"),
        "fairness.key": ("client", "project"),
        "server.png": ("compact", "qgis"),
        "cache.allow_storage_schemes": ("file", "file, postgresql"),
        "server.ssl_min_version": ("1.3", "1.2"),
        "server.ssl_ciphers": ("ECDHE-RSA-AES128-GCM-SHA256", "HIGH:!aNULL"),
        "server.cross_origins": ("https://one.example", "http://two.example:81, http://three"),
    }
    kind = declared.kind
    if declared.name in special:
        return special[declared.name]
    if isinstance(kind, kinds.Boolean):
        return ("no", "yes") if declared.default else ("yes", "no")
    if isinstance(kind, (kinds.Integer, kinds.Number)):
        if declared.default + 2 > kind.maximum:
            return str(kind.maximum / 2), str(kind.maximum / 4)
        return str(declared.default + 1), str(declared.default + 2)
    if isinstance(kind, kinds.Choice):
        others = [word for word in kind.words if word != declared.default]
        return others[0], others[1]
    by_kind = {
        kinds.Path: ("/one", "/two"),
        kinds.Paths: ("/one", "/two, /three"),
        kinds.List: ("::1", "::2, ::3"),
        kinds.Size: ("1K", "2K"),
        kinds.Text: ("one", "two words"),
    }
    return by_kind[type(kind)]


def by_name(declared: Declaration) -> str:
    return declared.name


# What an option sets besides, where nobody says otherwise.
FOLLOWERS = {("zmq", "hostaddr"): {("zmq", "bindaddr"), ("worker", "host")}}

every_option = pytest.mark.parametrize("option", list(declarations()), ids=by_name)


def test_the_contracts_sample(ini: Load) -> None:
    loaded = ini(SAMPLE)
    server, cache, zmq = loaded.settings.server, loaded.settings.cache, loaded.settings.zmq
    assert (server.port, server.interfaces, server.workers, server.timeout) == (8080, ("0.0.0.0",), 2, 20.0)
    assert loaded.settings.logging.level == "debug"
    assert (cache.size, cache.rootdir) == (10, ())
    assert (zmq.identity, zmq.bindaddr, zmq.maxqueue, zmq.timeout) == (
        "OWS-SERVER",
        "tcp://*:18080",
        1000,
        15000,
    )
    assert changes(Settings(), loaded.settings) == ([named("logging.level")], [])


def test_the_samples_comments_name_the_variables() -> None:
    section = ""
    for line in SAMPLE.splitlines():
        section = line.strip("[]") if line.startswith("[") else section
        if "#" in line:
            assert line.rpartition(" ")[2] == named(f"{section}.{line.partition('=')[0]}").environment


def test_nothing_given() -> None:
    loaded = load(None, {}, {})
    assert loaded.settings == Settings()
    assert loaded.path is None
    assert set(loaded.sources.values()) == {"default"}
    assert list(loaded.sources) == [d.id for d in declarations()]


@every_option
def test_precedence(option: Declaration, tmp_path: Path) -> None:
    weak, strong = two_texts(option)
    path = tmp_path / "qgsd.ini"
    environment, command_line = f"environment {option.environment}", "command line"

    def outcome(variable: str | None, line: str | None, flag: str | None) -> tuple[object, str]:
        path.write_text("" if line is None else f"[{option.section}]\n{option.key} = {line}\n")
        environ = {} if variable is None else {option.environment: variable}
        loaded = load(str(path), environ, {} if flag is None else {option.id: flag})
        touched = {option.id} | FOLLOWERS.get(option.id, set())
        untouched = [source for key, source in loaded.sources.items() if key not in touched]
        assert set(untouched) == {"default"}
        return option.of(loaded.settings), loaded.sources[option.id]

    low, high = option.kind.parse(weak, "/"), option.kind.parse(strong, "/")
    assert low != high
    assert low != option.default
    assert outcome(None, None, None) == (option.default, "default")
    assert outcome(weak, None, None) == (low, environment)
    assert outcome(weak, strong, None) == (high, f"{path}:2")
    assert outcome(strong, weak, None) == (low, f"{path}:2")
    assert outcome(None, weak, strong) == (high, command_line)
    assert outcome(None, strong, weak) == (low, command_line)
    assert outcome(weak, None, strong) == (high, command_line)
    assert outcome(strong, strong, weak) == (low, command_line)


@every_option
def test_declared_values_are_sound(option: Declaration) -> None:
    assert option.kind.parse(option.kind.format(option.default), "/") == option.default
    assert option.help
    assert "\n" not in option.help
    assert find(*option.id) == named(option.name) == option


def test_environment_names_are_distinct() -> None:
    names = [d.environment for d in declarations()]
    assert len(set(names)) == len(names)
    assert named("zmq.bindaddr").environment == "QGSRV_ZMQ_INADDR"
    assert named("server.http_proxy").environment == "QGSRV_SERVER_HTTP_PROXY"


@every_option
def test_settings_travel_through_msgspec(option: Declaration) -> None:
    _, text = two_texts(option)
    sent = load(None, {}, {option.id: text}).settings
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(sent), type=Settings) == sent


def test_settings_stay_as_they_are() -> None:
    with pytest.raises(AttributeError):
        Settings().server.port = 1  # type: ignore[misc]


def test_changes_are_split_by_what_a_reload_can_do() -> None:
    new = load(
        None, {}, {("server", "port"): "1", ("server", "workers"): "9", ("cache", "size"): "3"}
    ).settings
    live, fixed = changes(Settings(), new)
    assert [d.name for d in live] == ["server.workers", "cache.size"]
    assert [d.name for d in fixed] == ["server.port"]
    assert changes(new, new) == ([], [])


# --- paths ----------------------------------------------------------------------------


def test_relative_paths_start_where_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    (tmp_path / "qgsd.ini").write_text("[cache]\nrootdir = projects\n[logging]\naccess=off\n")
    loaded = load("../qgsd.ini", {"QGSRV_SERVER_PIDFILE": "q.pid"}, {("logging", "file"): "./q.log"})
    assert loaded.path == str(tmp_path / "qgsd.ini")
    assert loaded.settings.cache.rootdir == (str(tmp_path / "projects"),)
    assert loaded.settings.server.pidfile == str(here / "q.pid")
    assert loaded.settings.logging.file == str(here / "q.log")
    assert loaded.settings.logging.access == "off"


def test_a_vanished_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    assert load(None, {}, {}).settings == Settings()
    with pytest.raises(ConfigError, match="current directory"):
        load(None, {}, {("server", "pidfile"): "q.pid"})


# --- references -----------------------------------------------------------------------


def test_references_mean_the_value_in_force(tmp_path: Path) -> None:
    path = tmp_path / "qgsd.ini"
    path.write_text(
        "[server]\npidfile = ${cache:rootdir}/q.pid\ninstance = p${port}\n"
        "pluginpath = ${projects.cache:rootdir}/$$x\n"
        "[logging]\nfile = /log/${server:instance}-${zmq:maxqueue}.log\n[projects.cache]\nrootdir = /srv\n"
    )
    values = load(str(path), {"QGSRV_SERVER_HTTP_PORT": "81"}, {}).settings
    assert values.server.pidfile == "/srv/q.pid"
    assert values.server.pluginpath == "/srv/$x"
    assert values.logging.file == "/log/p81-1000.log"
    stronger = load(str(path), {}, {("cache", "rootdir"): "/data", ("server", "port"): "82"}).settings
    assert stronger.server.pidfile == "/data/q.pid"
    assert stronger.logging.file == "/log/p82-1000.log"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nport = ${workers", "qgsd.ini:2: [server] port: lone $; found '${workers'; allowed: "),
        (
            "[server]\nport = ${wokers}",
            "qgsd.ini:2: [server] port: no such option; found '${wokers}'; allowed: ",
        ),
        (
            "[server]\nport = ${a:b:c}",
            "qgsd.ini:2: [server] port: no such option; found '${a:b:c}'; allowed: ",
        ),
        (
            "[server]\nport = ${port}",
            "qgsd.ini:2: [server] port: refers to itself; found '${port}'; allowed: ",
        ),
        (
            "[server]\nport = ${cache:size}\n[cache]\nsize=${server:port}",
            "qgsd.ini:2: [server] port: refers to itself; found '${cache:size}'; allowed: ",
        ),
    ],
)
def test_bad_references(ini: Load, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ini(text)
    assert said in str(caught.value)


# --- sections under two names ---------------------------------------------------------


def test_section_alias(ini: Load, tmp_path: Path) -> None:
    loaded = ini("[projects.cache]\nsize=3\n[cache]\nrootdir=/srv\n")
    assert (loaded.settings.cache.size, loaded.settings.cache.rootdir) == (3, ("/srv",))
    assert loaded.sources["cache", "size"] == f"{tmp_path}/qgsd.ini:2"


def test_section_alias_twice(ini: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        ini("[cache]\nsize=3\n[projects.cache]\nsize=3\n")
    assert str(caught.value).endswith(
        "qgsd.ini:4: [projects.cache] size: given twice, first in line 2; found '3'; "
        "allowed: one value for a key ([cache] and [projects.cache] are one section)"
    )


# --- errors ---------------------------------------------------------------------------


def bad_text(declared: Declaration) -> str | None:
    if isinstance(declared.kind, kinds.Path | kinds.Paths) or declared.kind == kinds.Text(empty=True):
        return None
    return "host name/" if declared.name == "worker.host" else "a b/:"


@every_option
def test_a_bad_value_tells_all(option: Declaration, ini: Load) -> None:
    text = bad_text(option)
    if text is None:
        return
    with pytest.raises(ConfigError) as caught:
        ini(f"# mine\n[{option.section}]\n{option.key} = {text}\n")
    said = str(caught.value)
    assert f"qgsd.ini:3: [{option.section}] {option.key}: " in said
    assert f"; found '{option.quote(text)}'; allowed: {option.kind.describe()}" in said
    with pytest.raises(ConfigError) as caught:
        load(None, {option.environment: text}, {})
    assert str(caught.value).startswith(f"environment {option.environment}: {option.name}: ")
    with pytest.raises(ConfigError) as caught:
        load(None, {}, {option.id: text})
    assert str(caught.value).startswith(f"command line: {option.name}: ")
    assert f"found '{option.quote(text)}'; allowed: {option.kind.describe()}" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "found", "allowed", "nearest"),
    [
        ("[server]\nprot=80", 2, "prot", "port, interfaces, workers", "port"),
        ("[server]\nPort=80", 2, "Port", "port, interfaces", "port"),
        ("[server]\n\nrootdir=/srv", 3, "rootdir", "port, interfaces", "[cache] rootdir"),
        ("[zmq]\nbind_addr=x", 2, "bind_addr", "identity, hostaddr", "bindaddr"),
        ("[cache]\ncheck_intervall=1", 2, "check_intervall", "size, rootdir", "check_interval"),
        ("[projects.cache]\nsise=1", 2, "sise", "size, rootdir", "size"),
        ("[worker]\nkill_graze=1", 2, "kill_graze", "host, port", "[supervision] kill_grace"),
        ("[server]\nxyzzy=1", 2, "xyzzy", "port, interfaces", None),
        ("[servr]\nport=80", 1, "servr", "server, logging, cache, zmq, worker", "server"),
        ("\n[project.cache]", 2, "project.cache", "server, logging, cache", "projects.cache"),
        ("[DEFAULT]\nport=80", 1, "DEFAULT", "server, logging", None),
    ],
)
def test_unknown_names(
    ini: Load, text: str, line: int, found: str, allowed: str, nearest: str | None
) -> None:
    with pytest.raises(ConfigError) as caught:
        ini(text)
    error = caught.value
    assert (error.line, error.found, error.nearest) == (line, found, nearest)
    assert error.allowed.startswith(allowed)
    assert f"qgsd.ini:{line}: [" in str(error)
    assert f"found '{found}'; allowed: {allowed}" in str(error)
    assert str(error).endswith(f"; did you mean {nearest}?") == (nearest is not None)


def test_a_whole_error_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("qgsd.ini").write_text("[zmq]\nmaxque = 5\n")
    with pytest.raises(ConfigError) as caught:
        load("qgsd.ini", {}, {})
    assert str(caught.value) == (
        "qgsd.ini:2: [zmq] maxque: unknown key; found 'maxque'; "
        "allowed: identity, hostaddr, bindaddr, maxqueue, timeout, key_file, key, insecure; "
        "did you mean maxqueue?"
    )


def test_duplicates(ini: Load) -> None:
    with pytest.raises(
        ConfigError, match=r"qgsd\.ini:4: \[server\] port: given twice, first in line 2; found '2'"
    ):
        ini("[server]\nport=1\n\nport=2\n")


def test_indented_lines_are_explained(ini: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        ini("[server]\nsetuid=ann\n  port=80\n")
    assert "an indented line belongs to the one before" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_long_values_are_cut_in_errors(ini: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        ini(f"[server]\nport={'9' * 9999}\n")
    assert len(str(caught.value)) < 400


def test_a_bad_value_is_refused_even_where_a_stronger_one_wins(tmp_path: Path) -> None:
    path = tmp_path / "qgsd.ini"
    path.write_text("[server]\nport=x\n")
    with pytest.raises(ConfigError, match=r"qgsd\.ini:2"):
        load(str(path), {}, {("server", "port"): "80"})
    path.write_text("[server]\nport=80\n")
    with pytest.raises(ConfigError, match="environment QGSRV_SERVER_HTTP_PORT"):
        load(str(path), {"QGSRV_SERVER_HTTP_PORT": "x"}, {})


def test_unknown_override() -> None:
    with pytest.raises(
        ConfigError, match=r"command line: \[server\] prot: unknown key; .*did you mean port\?"
    ):
        load(None, {}, {("server", "prot"): "80"})


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("port", "server.port"),
        ("cahe.size", "cache.size"),
        ("server.prot", "port"),
        ("", None),
        ("x.y.z", None),
    ],
)
def test_unknown_option_by_name(name: str, nearest: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        named(name)
    assert caught.value.nearest == nearest


# --- environment ----------------------------------------------------------------------


def test_unknown_variables_are_told_not_refused() -> None:
    environ = {
        "QGSRV_SERVER_PORT": "81",
        "QGSRV_MONITOR_TAG_X": "y",
        "QGSRV_SERVER_WORKER": "1",
        "HOME": "/",
        "qgsrv_x": "",
    }
    loaded = load(None, environ, {})
    assert loaded.settings == Settings()
    assert loaded.unknown_environment == {
        "QGSRV_SERVER_PORT": "QGSRV_SERVER_HTTP_PORT",
        "QGSRV_SERVER_WORKER": "QGSRV_SERVER_WORKERS",
    }


@every_option
def test_empty_variables(option: Declaration) -> None:
    loaded = load(None, {option.environment: ""}, {})
    if option.kind.takes_empty:
        assert not option.of(loaded.settings)
        assert loaded.sources[option.id] == f"environment {option.environment}"
    else:
        assert loaded.settings == Settings()
        assert loaded.sources[option.id] == "default"


def test_variables_that_are_not_utf8_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"not UTF-8; found '/srv/\\\\?udcff'") as caught:
        load(None, {"QGSRV_CACHE_ROOTDIR": os.fsdecode(b"/srv/\xff")}, {})
    str(caught.value).encode()


# --- secrets --------------------------------------------------------------------------


def test_secrets_stay_out_of_errors(monkeypatch: pytest.MonkeyPatch, ini: Load) -> None:
    secret = Declaration("worker", "port", kinds.Integer(1, 9), 1, "a secret", "QGSRV_X", secret=True)
    monkeypatch.setattr(loading, "find", lambda *_: secret)
    monkeypatch.setattr(loading, "declarations", lambda: iter([secret]))
    attempts: list[Callable[[], object]] = [
        lambda: ini("[worker]\nport=hunter2"),
        lambda: ini("[worker]\nport=1\nport=hunter2"),
        lambda: load(None, {"QGSRV_X": "hunter2"}, {}),
        lambda: load(None, {}, {("worker", "port"): "hunter2"}),
    ]
    for attempt in attempts:
        with pytest.raises(ConfigError, match=r"found '\*\*\*'"):
            attempt()


# --- anything at all ------------------------------------------------------------------

PIECES = st.one_of(
    st.sampled_from(
        ["[server]\n", "[cache]\n", "[projects.cache]\n", "[zmq]\n", "${port}", "${zmq:timeout}"]
    ),
    st.sampled_from(
        ["port", "workers", "size", "=", "8", "\n", " ", "${", "\t", "\r", "\x85", "é", "\u2028"]
    ),
    st.sampled_from("$}:#;[]\0"),
)


def outcome(loading: Callable[[], Loaded]) -> Loaded | ConfigError:
    """What came of it; any error but a ConfigError passes through and fails the test."""
    try:
        return loading()
    except ConfigError as error:
        return error


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    st.one_of(
        st.lists(PIECES, max_size=30).map("".join).map(str.encode), st.binary(), st.text().map(str.encode)
    )
)
def test_any_file_loads_or_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "qgsd.ini"
    path.write_bytes(data)
    loaded = outcome(lambda: load(str(path), {}, {}))
    if isinstance(loaded, ConfigError):
        assert str(loaded).startswith(f"{path}:")
        assert str(loaded).isprintable()
    else:
        msgspec.msgpack.encode(loaded.settings)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([d.environment for d in declarations()]), st.text()))
def test_any_environment_loads_or_is_refused(environ: dict[str, str]) -> None:
    loaded = outcome(lambda: load(None, environ, {}))
    assert isinstance(loaded, Loaded) or str(loaded).startswith("environment QGSRV_")


OPTIONS = list(declarations())


@settings(deadline=None)
@given(st.sets(st.sampled_from(range(len(OPTIONS)))))
def test_every_combination_of_options_loads(
    tmp_path_factory: pytest.TempPathFactory, chosen: set[int]
) -> None:
    path = tmp_path_factory.getbasetemp() / "combination.ini"
    text = ""
    for section in {OPTIONS[n].section for n in chosen}:
        text += f"[{section}]\n"
        for option in (OPTIONS[n] for n in chosen if OPTIONS[n].section == section):
            text += f"{option.key}={two_texts(option)[0]}\n"
    path.write_text(text)
    live, fixed = changes(Settings(), load(str(path), {}, {}).settings)
    given = {OPTIONS[n].id for n in chosen}
    followers = {follower for option in given for follower in FOLLOWERS.get(option, set())}
    assert given <= {d.id for d in live + fixed} <= given | followers


# The open section.


def test_schemes_are_options_with_names_of_the_operators_choice(ini: Load) -> None:
    loaded = ini("[projects.schemes]\nMy-Maps=file:${cache:rootdir}/maps/\n[cache]\nrootdir=/srv\n")
    assert loaded.settings.schemes == {"my_maps": "file:/srv/maps/"}
    assert loaded.sources["projects.schemes", "my_maps"].endswith("qgsd.ini:2")
    environ = {
        "QGSRV_PROJECTS_SCHEMES_MY_MAPS": "file:/data/",
        "QGSRV_PROJECTS_SCHEMES_PG": "postgresql:?service=g",
    }
    assert load(None, environ, {}).settings.schemes == {
        "my_maps": "file:/data/",
        "pg": "postgresql:?service=g",
    }
    assert not load(None, environ, {}).unknown_environment
    assert load(loaded.path, environ, {}).settings.schemes["my_maps"] == "file:/srv/maps/"
    commanded = load(loaded.path, environ, {("projects.schemes", "my_maps"): "file:/cli/"})
    assert commanded.settings.schemes["my_maps"] == "file:/cli/"
    assert commanded.sources["projects.schemes", "my_maps"] == "command line"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file=file:/srv/", "[projects.schemes] file: not a name"),
        ("a b=file:/srv/", "[projects.schemes] a b: not a name"),
        ("maps=srv/maps", "[projects.schemes] maps: not the URL of a store"),
        ("maps=/srv/maps", "[projects.schemes] maps: a folder must end in /"),
        ("maps=file:/srv/\nMAPS=file:/x/", "given twice"),
        ("pg=postgresql://me:hunter2@h?x", "***"),
    ],
)
def test_a_bad_scheme_is_refused(ini: Load, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ini(f"[projects.schemes]\n{text}\n")
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_changed_scheme_is_a_change_that_a_reload_makes(ini: Load) -> None:
    old, new = Settings(), ini("[projects.schemes]\npg=postgresql://me:hunter2@h?project={path}\n").settings
    live, fixed = changes(old, new)
    assert ([d.name for d in live], fixed) == (["projects.schemes.pg"], [])
    assert live[0].show(live[0].of(new)) == "postgresql://me:***@h?project={path}"


def test_names_of_other_servers_set_an_option() -> None:
    environ = {"QGIS_SERVER_TRUST_LAYER_METADATA": "1", "QGIS_SERVER_FORCE_READONLY_LAYERS": "no"}
    loaded = load(None, environ, {})
    assert (loaded.settings.cache.trust_layer_metadata, loaded.settings.cache.force_readonly_layers) == (
        True,
        False,
    )
    stronger = load(None, environ | {"QGSRV_TRUST_LAYER_METADATA": "0"}, {})
    assert stronger.settings.cache.trust_layer_metadata is False
