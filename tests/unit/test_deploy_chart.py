# SPDX-License-Identifier: GPL-2.0-or-later
"""The Helm chart, rendered by Helm: Kubernetes' schemas take it, and it names what the code has."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qgsd import __version__, cli, cluster_key
from qgsd.admin import health
from qgsd.admin.figures import FIGURES
from qgsd.config import Settings, declarations, load, overrides_from
from qgsd.master.instance import check_settings
from qgsd.proxy.http.server import routes

pytest.importorskip("helm_python", reason="helm-python-sdk, Helm as a library, has no wheel for this machine")
kubernetes_validate = pytest.importorskip("kubernetes_validate")
jsonschema = pytest.importorskip("jsonschema")

from tests.unit import chart  # noqa: E402
from tests.unit.chart import CHART, SECRET, Rendered  # noqa: E402

KUBERNETES = ("1.25", "1.31", "1.34")
MONITORING = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
CASES: dict[str, dict[str, Any]] = {
    "plain": SECRET,
    "full": {
        **SECRET,
        "image": {"repository": "registry.example/gis/qgsd", "tag": "1"},
        "imagePullSecrets": [{"name": "registry"}],
        "projects": {"claim": "maps", "subPath": "published"},
        "config": {"server": {"timeout": 60}, "answers.projects": {"town/*": "images 3600, features 60"}},
        "drain": {"preStop": 8, "stopTimeout": 90},
        "proxy": {"replicas": 2, "nodeSelector": {"pool": "web"}, "podAnnotations": {"a": "b"}},
        "worker": {
            "processes": 4,
            "tolerations": [{"key": "gis", "operator": "Exists"}],
            "affinity": {"podAntiAffinity": {}},
            "podAnnotations": {"a": "b"},
            "env": [{"name": "PGSERVICEFILE", "value": "/etc/pg/pg_service.conf"}],
            "volumes": [{"name": "pg", "secret": {"secretName": "pg"}}],
            "volumeMounts": [{"name": "pg", "mountPath": "/etc/pg"}],
        },
        "service": {"type": "LoadBalancer", "annotations": {"a": "b"}},
        "disruption": {"worker": "25%"},
        "autoscaling": {"kind": "hpa"},
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "networkPolicy": {
            "clients": [{"ipBlock": {"cidr": "192.0.2.0/24"}}],
            "monitoring": MONITORING,
            "workerEgress": [{"to": [{"ipBlock": {"cidr": "192.0.2.7/32"}}]}],
        },
    },
    "keda": {"secret": {"existing": "mine"}, "autoscaling": {"kind": "keda"}},
    "open": {**SECRET, "networkPolicy": {"enabled": False}, "worker": {"processes": 1}},
    # What is refused.
    "no key": {},
    "a key of somebody else": {"secret": {"key": "hunter2", "token": "0123456789abcdef"}},
    "a misspelt value": {**SECRET, "worker": {"proceses": 2}},
    "no number": {**SECRET, "proxy": {"replicas": "two"}},
    "what the chart sets": {**SECRET, "config": {"server": {"port": 80}}},
}
RENDERED = ("plain", "full", "keda", "open")
PARTS = ("proxy", "worker")


@cache
def answers() -> tuple[dict[str, Rendered | str], list[str]]:
    return chart.render(CASES)


def rendered(case: str) -> Rendered:
    answer = answers()[0][case]
    assert isinstance(answer, Rendered), answer
    return answer


def settings_of(case: str, part: str, folder: Path) -> Settings:
    one = rendered(case)
    ini = folder / "qgsd.ini"
    ini.write_text(one.of("ConfigMap")["data"]["qgsd.ini"])
    line = one.container(part)["args"]
    arguments = cli.whole_parser().parse_args(line)
    assert arguments.config == mounted_file(one, part)
    return load(str(ini), {}, overrides_from(arguments)).settings


def mounted_file(one: Rendered, part: str) -> str:
    """Where the configuration stands in the container."""
    mounts = {mount["name"]: mount for mount in one.container(part)["volumeMounts"]}
    assert mounts["config"]["subPath"] in one.of("ConfigMap")["data"]
    return str(mounts["config"]["mountPath"])


def test_helm_lint_has_nothing_to_say() -> None:
    assert answers()[1] == []


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("case", RENDERED)
def test_kubernetes_would_take_every_document(case: str, version: str) -> None:
    kinds = set()
    for document in rendered(case).documents:
        kinds.add(document["kind"])
        # Kinds of operators are in no schema of Kubernetes: see below.
        if document["kind"] not in ("ScaledObject", "ServiceMonitor"):
            kubernetes_validate.validate(document, version, strict=True)
    assert {"Deployment", "Service", "ConfigMap", "PodDisruptionBudget"} <= kinds


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("no key", "qgsd keygen"),
        ("a key of somebody else", "does not match pattern"),
        ("a misspelt value", "'proceses' not allowed"),
        ("no number", "want integer"),
        ("what the chart sets", "config.server.port is set by the chart itself"),
    ],
)
def test_what_cannot_be_meant_is_refused(case: str, reason: str) -> None:
    answer = answers()[0][case]
    assert isinstance(answer, str)
    assert reason in answer


def test_the_values_fit_their_schema() -> None:
    """By another judge than Helm's own; what is allowed as a key and a token is what qgsd takes."""
    import yaml

    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load((CHART / "values.yaml").read_text()), schema)
    secret = schema["properties"]["secret"]["properties"]
    assert re.fullmatch(secret["key"]["pattern"], ",".join(cluster_key.generate() for _ in range(2)))
    assert cluster_key._TEXT.pattern in secret["key"]["pattern"]
    assert re.fullmatch(secret["token"]["pattern"], SECRET["secret"]["token"])


def test_the_chart_is_for_this_version() -> None:
    import yaml

    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == __version__
    assert rendered("plain").container("proxy")["image"] == f"qgsd:{__version__}"


@pytest.mark.parametrize("case", RENDERED)
def test_ports_of_the_containers_are_those_of_the_configuration(case: str, tmp_path: Path) -> None:
    one = rendered(case)
    proxy, worker = settings_of(case, "proxy", tmp_path), settings_of(case, "worker", tmp_path)
    assert (proxy.server.proxy, proxy.management.enabled, worker.management.enabled) == (True, True, True)
    queue = int(proxy.zmq.bindaddr.rpartition(":")[2])
    ports = {"http": proxy.server.port, "queue": queue, "management": proxy.management.port}
    assert one.ports("proxy") == ports
    assert one.ports("worker") == {"management": worker.management.port}
    services = {d["metadata"]["name"]: d for d in one.documents if d["kind"] == "Service"}
    assert worker.worker.host in services
    (there,) = [p for p in services[worker.worker.host]["spec"]["ports"] if p["name"] == "queue"]
    assert worker.worker.port == there["port"] == queue
    for service in services.values():
        assert {p["targetPort"] for p in service["spec"]["ports"]} <= set(ports)
    # A headless Service has no port of its own: what is asked is the container's.
    for port in services[worker.worker.host]["spec"]["ports"]:
        assert port["port"] == ports[port["targetPort"]]


def test_workers_find_a_proxy_that_waits_for_them() -> None:
    queue = rendered("plain").of("Service", "-queue")["spec"]
    assert (queue["clusterIP"], queue["publishNotReadyAddresses"]) == ("None", True)


def test_a_new_proxy_comes_first_where_it_is_sure_of_workers() -> None:
    """Else it would wait for workers, and Kubernetes for it, for ever."""
    plans = {case: rendered(case).of("Deployment", "-proxy")["spec"]["strategy"] for case in RENDERED}
    assert plans["full"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}, "4 workers, 2 proxies"
    assert plans["open"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}, "1 worker, 1 proxy"


@pytest.mark.parametrize("part", PARTS)
def test_probes_ask_for_what_there_is(part: str) -> None:
    context: Any = SimpleNamespace(settings=Settings())
    served = {
        "http": [re.compile(pattern) for pattern, _, _ in routes(context)],
        "management": [rule.regex for rule in health.health_routes(context, context)],
    }
    container = rendered("plain").container(part)
    ports = rendered("plain").ports(part)
    asked = {}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        target = container[probe]["httpGet"]
        assert target["port"] in ports
        assert any(regex.match(target["path"]) for regex in served[target["port"]]), target
        asked[probe] = target["path"]
    assert asked == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}


@pytest.mark.parametrize("case", RENDERED)
@pytest.mark.parametrize("part", PARTS)
def test_what_runs_may_be_finished(case: str, part: str, tmp_path: Path) -> None:
    pod = rendered(case).pod(part)["spec"]
    stop = settings_of(case, part, tmp_path).supervision.stop_timeout
    waits = 0
    if part == "proxy":
        program, seconds = rendered(case).container(part)["lifecycle"]["preStop"]["exec"]["command"]
        assert program == "sleep"
        waits = int(seconds)
    assert pod["terminationGracePeriodSeconds"] >= waits + stop + 5


def test_more_options_are_in_force(tmp_path: Path) -> None:
    given = settings_of("full", "proxy", tmp_path)
    assert (given.server.timeout, given.server.workers) == (60, 4)
    assert list(given.answer_rules) == ["town/*"]


@pytest.mark.parametrize("case", RENDERED)
@pytest.mark.parametrize("part", PARTS)
def test_the_configuration_would_start(case: str, part: str, tmp_path: Path) -> None:
    """With its files where the volumes of the pod put them, below a folder of the test."""
    one = rendered(case)
    ini = tmp_path / "qgsd.ini"
    text = one.of("ConfigMap")["data"]["qgsd.ini"]
    secret = {"cluster.key": cluster_key.generate(), "management.token": "0123456789abcdef"}
    if case != "keda":
        secret = one.of("Secret")["stringData"]
    mounts = {mount["name"]: mount["mountPath"] for mount in one.container(part)["volumeMounts"]}
    (volume,) = [v["secret"] for v in one.pod(part)["spec"]["volumes"] if v["name"] == "secret"]
    for name, content in secret.items():
        place = tmp_path / "secret" / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(content)
        place.chmod(volume["defaultMode"])
    root = re.search(r"(?m)^rootdir=(.*)$", text)[1]  # type: ignore[index]
    assert root == (mounts["projects"] if "projects" in mounts else image_example())
    text = text.replace(f"={mounts['secret']}/", f"={tmp_path}/secret/").replace(root, str(tmp_path))
    ini.write_text(text)
    line = one.container(part)["args"]
    overrides = overrides_from(cli.whole_parser().parse_args(line))
    check_settings(load(str(ini), {}, overrides).settings, "proxy" if part == "proxy" else "worker")


def image_example() -> str:
    """Where the wheel puts the example in the environment that the image has."""
    dockerfile = (CHART.parents[1] / "docker" / "Dockerfile").read_text()
    prefix = re.search(r"python3 -m venv --system-site-packages (\S+)", dockerfile)
    assert prefix
    assert '"share/qgsd/examples/world"' in (CHART.parents[2] / "setup.py").read_text()
    return f"{prefix[1]}/share/qgsd/examples/world"


@pytest.mark.parametrize("case", RENDERED)
@pytest.mark.parametrize("part", PARTS)
def test_pods_keep_to_the_restricted_standard(case: str, part: str) -> None:
    """The Pod Security Standards' level "restricted", and a root file system that nobody writes to."""
    spec = rendered(case).pod(part)["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    container = rendered(case).container(part)["securityContext"]
    assert container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"configMap", "secret", "emptyDir", "persistentVolumeClaim"}
    mounts = rendered(case).container(part)["volumeMounts"]
    assert {mount["name"] for mount in mounts} <= {volume["name"] for volume in spec["volumes"]}
    if case == "full":
        assert [m["readOnly"] for m in mounts if m["name"] == "projects"] == [True]


@pytest.mark.parametrize("case", RENDERED)
def test_every_selector_finds_its_pods(case: str) -> None:
    one = rendered(case)
    pods = {part: one.pod(part)["metadata"]["labels"] for part in PARTS}

    def chosen(selector: dict[str, str]) -> list[str]:
        return [part for part, labels in pods.items() if selector.items() <= labels.items()]

    for document in one.documents:
        kind, spec, name = document["kind"], document.get("spec", {}), document["metadata"]["name"]
        part = name.rpartition("-")[2]
        if kind == "Service":
            assert chosen(spec["selector"]) == ["proxy"]
        elif kind in ("Deployment", "PodDisruptionBudget"):
            assert chosen(spec["selector"]["matchLabels"]) == [part]
        elif kind == "NetworkPolicy":
            assert chosen(spec["podSelector"]["matchLabels"]) == [part]
        elif kind == "ServiceMonitor":
            (watched,) = [
                d for d in one.documents
                if d["kind"] == "Service"
                and spec["selector"]["matchLabels"].items() <= d["metadata"]["labels"].items()
            ]  # fmt: skip
            assert spec["endpoints"][0]["port"] in {port["name"] for port in watched["spec"]["ports"]}


def test_nobody_reaches_more_than_they_need() -> None:
    one = rendered("plain")
    proxy, worker = one.of("NetworkPolicy", "-proxy")["spec"], one.of("NetworkPolicy", "-worker")["spec"]
    assert proxy["policyTypes"] == worker["policyTypes"] == ["Ingress", "Egress"]
    assert {port["port"] for rule in proxy["ingress"] for port in rule["ports"]} == {"http", "queue"}
    assert worker["ingress"] == []
    (queue,) = [rule for rule in proxy["ingress"] if rule["ports"][0]["port"] == "queue"]
    assert queue["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "worker"
    assert {port["port"] for rule in worker["egress"] for port in rule["ports"]} == {53, "queue"}
    full = rendered("full").of("NetworkPolicy", "-proxy")["spec"]["ingress"]
    assert [rule["from"] for rule in full if rule["ports"][0]["port"] == "management"] == [MONITORING]


def test_autoscalers_ask_for_a_metric_that_there_is() -> None:
    declared = {one.name for one, _ in FIGURES}
    scaler = rendered("full").of("HorizontalPodAutoscaler")["spec"]
    (metric,) = scaler["metrics"]
    assert metric["object"]["metric"]["name"] in declared
    # A value, not an average over the pods: workers wanted = workers × saturation / target.
    assert metric["object"]["target"] == {"type": "Value", "value": "700m"}
    named = metric["object"]["describedObject"]["name"]
    assert rendered("full").of("Service", "-queue")["metadata"]["name"] == named
    scaled = rendered("keda").of("ScaledObject")["spec"]
    (trigger,) = scaled["triggers"]
    assert set(re.findall(r"\bqgsd_\w+", trigger["metadata"]["query"])) <= declared
    assert (trigger["metricType"], trigger["metadata"]["threshold"]) == ("Value", "0.7")
    target = rendered("keda").of("Deployment", "-worker")
    assert scaled["scaleTargetRef"]["name"] == target["metadata"]["name"]
    for case in ("full", "keda"):
        assert "replicas" not in rendered(case).of("Deployment", "-worker")["spec"], "the autoscaler's to say"


def test_the_secret_has_what_is_asked_of_it(tmp_path: Path) -> None:
    given = settings_of("plain", "proxy", tmp_path)
    names = {Path(given.zmq.key_file).name, Path(given.management.token_file).name}
    assert set(rendered("plain").of("Secret")["stringData"]) == names
    monitor = rendered("full").of("ServiceMonitor")["spec"]["endpoints"][0]
    assert monitor["authorization"]["credentials"]["key"] in names
    assert not [d for d in rendered("keda").documents if d["kind"] == "Secret"]
    secrets = {option.name for option in declarations() if option.secret}
    assert not secrets & {f"{s}.{k}" for s, k in _options(rendered("plain"))}, "no secret in a ConfigMap"


def _options(one: Rendered) -> list[tuple[str, str]]:
    section, found = "", []
    for line in one.of("ConfigMap")["data"]["qgsd.ini"].splitlines():
        if match := re.fullmatch(r"\[(.+)\]", line):
            section = match[1]
        elif "=" in line:
            found.append((section, line.partition("=")[0]))
    return found
