# SPDX-License-Identifier: GPL-2.0-or-later
"""Configurations of py-qgis-server: each option is understood, needs nothing, or is refused with advice."""

from __future__ import annotations

from pathlib import Path

import pytest

from qgsd.config import ConfigError, Loaded, find, load, migration, render
from qgsd.proxy.http import apis

# Of its own test suite and container examples, with other paths.
SUITE = {
    "QGIS_OPTIONS_PATH": "/srv/qgis",
    "QGIS_SERVER_TRUST_LAYER_METADATA": "yes",
    "QGIS_SERVER_DISABLE_GETPRINT": "yes",
    "QGIS_SERVER_LIZMAP_REVEAL_SETTINGS": "yes",
    "QGSRV_CACHE_ROOTDIR": "/srv/maps",
    "QGSRV_SERVER_WORKERS": "1",
    "QGSRV_SERVER_PLUGINPATH": "/srv/plugins",
    "QGSRV_PROJECTS_SCHEMES_TEST": "/srv/maps/",
    "QGSRV_PROJECTS_SCHEMES_FOO": "file:foobar/",
    "QGSRV_PROJECTS_SCHEMES_BAR": "file:foobar?data={path}",
    "QGSRV_SERVER_HTTP_PROXY": "yes",
    "QGSRV_LOGGING_LEVEL": "DEBUG",
    "QGSRV_SERVER_STATUS_PAGE": "yes",
    "QGSRV_API_ENABLED_LANDING_PAGE": "yes",
    "QGSRV_API_ENDPOINTS_LANDING_PAGE": "/ows/catalog",
    "QGSRV_API_ENABLED_LIZMAP": "yes",
    "QGSRV_MANAGEMENT_ENABLED": "yes",
    "QGSRV_MANAGEMENT_INTERFACES": "0.0.0.0",
    "QGSRV_SERVER_TIMEOUT": "20",
    "QGSRV_CACHE_STRICT_CHECK": "yes",
    "QGSRV_SERVER_MONITOR": "test",
    "QGSRV_MONITOR_TAG_EXTRA_DATA": "monitor.test",
    "QGSRV_CACHE_OBSERVERS": "ban",
    "QGSRV_CACHE_OBSERVERS_BAN_SERVER_ADDRESS": "http://varnish:80",
    "QGSRV_CACHE_CHECK_INTERVAL": "10",
    "QGSRV_CACHE_ADVANCED_REPORT": "yes",
    "QGSRV_SERVER_ENABLE_FILTERS": "yes",
    "QGSRV_SERVER_PROFILES": "/srv/profiles.yml",
    "QGSRV_DATA_PATH": "/srv/data",
    "AMQP_ROUTING": "test.local",
    "PGSERVICEFILE": "/srv/.pg_service.conf",
}


def ini(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Loaded:
    path = tmp_path / "server.conf"
    path.write_text(text)
    return load(str(path), environ or {}, {})


def test_the_environment_of_its_own_suite() -> None:
    loaded = load(None, SUITE, {})
    settings = loaded.settings
    assert settings.cache.rootdir == ("/srv/maps",)
    assert settings.cache.trust_layer_metadata
    assert settings.schemes == {"test": "/srv/maps/", "foo": "file:foobar/", "bar": "file:foobar?data={path}"}
    assert settings.api_endpoints == {"landing_page": "/ows/catalog"}
    assert settings.api_enabled == {"landing_page": True, "lizmap_api": True}
    assert (settings.server.status_page, settings.server.http_proxy) == (True, True)


def test_what_has_no_effect_is_told_with_what_to_use() -> None:
    told = render.warnings(load(None, SUITE, {}))
    assert {line.split()[2] for line in told} == {
        "QGSRV_SERVER_MONITOR", "QGSRV_MONITOR_TAG_EXTRA_DATA", "QGSRV_CACHE_OBSERVERS",
        "QGSRV_CACHE_OBSERVERS_BAN_SERVER_ADDRESS", "QGSRV_CACHE_ADVANCED_REPORT",
        "QGSRV_SERVER_ENABLE_FILTERS", "QGSRV_SERVER_PROFILES", "QGSRV_DATA_PATH", "AMQP_ROUTING",
    }  # fmt: skip
    assert all(" has no effect: " in line for line in told)


ALL = [name for name in migration.NAMES if "<" not in name.section and name.key != "*"]
by_name = pytest.mark.parametrize("name", ALL, ids=lambda name: f"{name.section}.{name.key}")


@by_name
def test_its_defaults_load(name: migration.Name, tmp_path: Path) -> None:
    """A file that says what it would do anyway, with the references that its defaults have."""
    ini(tmp_path, f"[{name.section}]\n{name.key}={name.default}\n")


@by_name
def test_every_option_is_understood_needs_nothing_or_is_refused_with_advice(
    name: migration.Name, tmp_path: Path
) -> None:
    text = f"[{name.section}]\n{name.key}=amqp\n"
    if find(name.section, name.key):
        return
    assert name.note
    if name.idle:
        (note,) = ini(tmp_path, text).notes
        assert note.endswith(f"server.conf:2: [{name.section}] {name.key} has no effect: {name.note}")
        return
    with pytest.raises(ConfigError) as refused:
        ini(tmp_path, text)
    assert str(refused.value).endswith(f"qgsd does not have; found 'amqp'; instead: {name.note}")


@by_name
def test_its_variables_set_the_option(name: migration.Name) -> None:
    declared = find(name.section, name.key)
    if declared is None or not name.variable:
        return
    _, key = declared.id
    known = {declared.environment, *declared.also}
    if declared.open_in:
        # The key is read from the variable's name.
        assert name.variable.startswith(declared.environment.removesuffix(key.upper()))
    else:
        assert name.variable in known


def test_a_refused_option_on_the_command_line() -> None:
    with pytest.raises(ConfigError, match="instead: the access log"):
        load(None, {}, {("server", "monitor"): "amqp"})


def test_what_asks_for_nothing_is_let_pass(tmp_path: Path) -> None:
    loaded = ini(tmp_path, "[server]\nmonitor=\nenable_filters=no\n", {"QGSRV_CACHE_OBSERVERS": ""})
    assert loaded.notes == []


def test_hostaddr_is_where_to_listen_and_whom_to_work_for(tmp_path: Path) -> None:
    loaded = load(None, {"QGSRV_ZMQ_HOSTADDR": "map-server"}, {})
    assert loaded.settings.zmq.bindaddr == "tcp://map-server:18080"
    assert loaded.settings.worker.host == "map-server"
    loaded = ini(tmp_path, "[zmq]\nhostaddr=10.0.0.1\nbindaddr=tcp://${zmq:hostaddr}:9\n")
    assert loaded.settings.zmq.bindaddr == "tcp://10.0.0.1:9"
    assert load(None, {}, {}).settings.worker.host == ""


def test_sections_of_apis_are_one_environment(tmp_path: Path) -> None:
    loaded = ini(
        tmp_path,
        "[api.endpoints]\nlanding_page=/catalog\n[projects.cache]\nrootdir=/srv/maps\n[api:landing_page]\n"
        "QGIS_SERVER_LANDING_PAGE_PREFIX=${api.endpoints:landing_page}\n"
        "QGIS_SERVER_LANDING_PAGE_PROJECTS_DIRECTORIES=${projects.cache:rootdir}\n[api:mine]\nMY_TOKEN=x\n",
    )
    assert loaded.settings.variables == {
        "QGIS_SERVER_LANDING_PAGE_PREFIX": "/catalog",
        "QGIS_SERVER_LANDING_PAGE_PROJECTS_DIRECTORIES": "/srv/maps",
        "MY_TOKEN": "x",
    }
    assert "environment.MY_TOKEN = ***" in render.listing(loaded)
    with pytest.raises(ConfigError, match="given twice"):
        ini(tmp_path, "[api:a]\nX=1\n[api:b]\nX=2\n")
    with pytest.raises(ConfigError, match="not a name"):
        ini(tmp_path, "[api:a]\nQGSRV_X=1\n")


@pytest.mark.parametrize(
    ("text", "path", "opened"),
    [
        ("", "/anything", True),
        ("", "/lizmap/server.json", True),
        ("", "/catalog", True),
        ("[api.enabled]\nlanding_page=no\n", "/catalog", False),
        ("[api.enabled]\nlanding_page=yes\n", "/catalog/index.json", True),
        ("[api.enabled]\nlizmap_api=no\n", "/lizmap/server.json", False),
        ("[api.endpoints]\nback_office=/office\n", "/office/files", False),
        ("[api.endpoints]\nback_office=/office\n", "/officer", True),
        ("[api.endpoints]\na=/a\n[api.enabled]\na=yes\n[server]\nplugin_apis=no\n", "/a.json", True),
        ("[server]\nplugin_apis=no\n", "/anything", False),
    ],
)
def test_which_apis_are_open(text: str, path: str, opened: bool, tmp_path: Path) -> None:
    assert apis.is_open(ini(tmp_path, text).settings, path) is opened
