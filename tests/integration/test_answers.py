# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers that are kept: given to who asks the same, as long as it is the answer, and to nobody else."""

from __future__ import annotations

import itertools
import shutil
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.instance import GET_MAP, Answer, Instance, ows_path
from tests.integration.test_projects import replace, retitled
from tests.waiting import wait_for

CAPABILITIES = {"SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetCapabilities"}
FEATURES = {
    "SERVICE": "WFS", "VERSION": "1.1.0", "REQUEST": "GetFeature", "TYPENAME": "countries",
    "OUTPUTFORMAT": "GeoJSON",
}  # fmt: skip
PLUGINS = Path(__file__).parents[1] / "plugins"
OPTIONS = """
[server]
jobs=2
workers=2
[cache]
check_interval=3600
[answers.projects]
tiles=images 600, features 600
short*=images 1
plain=documents no
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, shared_root: Path) -> Iterator[Instance]:
    for name in ("tiles", "short", "plain", "changing", "passing", "purged"):
        shutil.copy(shared_root / "world.qgs", shared_root / f"{name}.qgs")
    instance = Instance(
        tmp_path_factory.mktemp("q") / "i", "run", ("--rootdir", str(shared_root)), config=OPTIONS
    )
    with instance:
        yield instance


def was_kept(answer: Answer) -> bool:
    return "cache;desc=hit" in answer.headers["Server-Timing"]


def child_of(answer: Answer) -> str:
    """Which http child has answered: its pid is in the ids it makes."""
    return answer.headers["X-Request-Id"].split("-")[1]


def settled(server: Instance, target: str, **headers: str) -> Answer:
    """The answer once both http children give it from what is kept."""
    seen: dict[str, Answer] = {}

    def both() -> bool:
        answer = server.get(target, **headers)
        assert answer.status == 200, answer.text
        if was_kept(answer):
            seen[child_of(answer)] = answer
        return len(seen) == 2

    wait_for("both http children have it", both)
    first, second = seen.values()
    assert first.body == second.body
    return first


def test_a_document_is_made_once_for_all_http_children(server: Instance) -> None:
    target = ows_path(**CAPABILITIES)
    first = server.get(target)
    assert not was_kept(first)
    again = settled(server, target)
    assert (again.status, again.body, again.headers["Etag"]) == (200, first.body, first.headers["Etag"])
    kept, asked = (
        server.ctl_json("status")["counters"]["cache_hits"],
        sum(w["requests"] for w in server.workers()),
    )
    for _ in range(20):
        assert server.get(target).body == first.body
    assert server.ctl_json("status")["counters"]["cache_hits"] == kept + 20
    assert sum(worker["requests"] for worker in server.workers()) == asked
    wait_for("the hits are in the access log", lambda: server.log_text.count(" cache=kept ") >= 20)


def test_who_has_it_is_told_so_without_a_worker(server: Instance) -> None:
    target = ows_path(**CAPABILITIES)
    tag = settled(server, target).headers["Etag"]
    for _ in range(4):
        answer = server.get(target, **{"If-None-Match": tag})
        assert (answer.status, answer.body, was_kept(answer)) == (304, b"", True)
        assert "Content-Length" not in answer.headers
    part = server.get(target, Range="bytes=0-9")
    assert (part.status, len(part.body), was_kept(part)) == (206, 10, True)
    head = server.request("HEAD", target)
    assert (head.status, was_kept(head), head.headers["Etag"]) == (200, True, tag)
    assert head.headers["Content-Length"] == str(len(server.get(target).body))


def test_compressed_once_and_given_to_those_who_take_it(server: Instance) -> None:
    target = ows_path(**CAPABILITIES)
    plain = settled(server, target)
    for _ in range(4):
        packed = server.get(target, **{"Accept-Encoding": "gzip"})
        assert (was_kept(packed), packed.headers["Content-Encoding"]) == (True, "gzip")
        assert zlib.decompress(packed.body, 47) == plain.body
        assert server.get(target).body == plain.body


def test_documents_of_each_address_are_its_own(server: Instance) -> None:
    target = ows_path(**CAPABILITIES)
    for _, host in itertools.product(range(3), ("one.example", "two.example:99")):
        answer = server.get(target, Host=host)
        assert f"http://{host}/ows/" in answer.text


def test_what_differs_only_where_qgis_does_not_look_is_the_same(server: Instance) -> None:
    settled(server, ows_path(**CAPABILITIES))
    assert was_kept(server.get("/ows/?version=1.3.0&MAP=world&request=GetCapabilities&Service=WMS"))


@pytest.mark.parametrize("target", ["/wfs3/collections.json?MAP=world", "/wfs3/collections?MAP=world"])
def test_documents_of_ogc_api_are_kept(server: Instance, target: str) -> None:
    html, json = {"Accept": "text/html"}, {"Accept": "application/json"}
    settled(server, target, **html)
    kept = settled(server, target, **json)
    assert server.get(target, **json | {"If-None-Match": kept.headers["Etag"]}).status == 304
    if "json" not in target:
        assert server.get(target, **html).headers["Content-Type"] != kept.headers["Content-Type"]


def test_images_and_features_are_kept_only_where_the_operator_says_so(server: Instance) -> None:
    for parameters in (GET_MAP, FEATURES):
        for _ in range(3):
            assert "cache" not in server.ows(**parameters).headers["Server-Timing"]
        fresh = server.ows("tiles", **parameters)
        kept = settled(server, ows_path("tiles", **parameters))
        assert kept.body == fresh.body
        assert kept.headers["Etag"]
        assert kept.headers["Content-Type"] == fresh.headers["Content-Type"]
    for _ in range(3):
        assert "cache" not in server.ows("plain", **CAPABILITIES).headers["Server-Timing"]


def test_images_are_kept_for_their_time(server: Instance) -> None:
    target = ows_path("short", **GET_MAP)
    wait_for("it is kept", lambda: was_kept(server.get(target)))
    began = time.monotonic()
    wait_for("it is too old", lambda: not was_kept(server.get(target)))
    assert time.monotonic() - began < 5


def test_a_post_is_never_answered_from_what_is_kept(server: Instance) -> None:
    form = b"SERVICE=WMS&VERSION=1.3.0&REQUEST=GetCapabilities"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for _ in range(3):
        answer = server.request("POST", "/ows/?MAP=world", form, headers)
        assert "cache" not in answer.headers["Server-Timing"]


def test_requests_that_come_in_one_go_are_answered_in_order(server: Instance) -> None:
    one, other = ows_path(**CAPABILITIES), ows_path(SERVICE="WFS", VERSION="1.1.0", REQUEST="GetCapabilities")
    for target in (one, other):
        settled(server, target, Host="x")
    kinds = {one: b"<WMS_Capabilities", other: b"<WFS_Capabilities", "/ping": b'{"status"'}
    order = [one, other, "/ping", one, one, other] * 5
    heads = "".join(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n" for target in order).encode()
    last = b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        for start in range(0, len(heads), 333):
            client.sendall(heads[start : start + 333])
        client.sendall(last)
        received = b""
        while piece := client.recv(65536):
            received += piece
    found = sorted((at, kind) for kind in kinds.values() for at in _places(received, kind))
    assert [kind for _, kind in found] == [kinds[target] for target in [*order, "/ping"]]


def _places(text: bytes, part: bytes) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)


# The project changes.


def test_no_old_document_is_given_once_a_reload_is_reported(server: Instance, shared_root: Path) -> None:
    """With clients that ask all the time, so that it is kept again at once."""
    path, target = shared_root / "changing.qgs", ows_path("changing", **CAPABILITIES)
    text, over = path.read_text(), threading.Event()

    def ask() -> None:
        while not over.is_set():
            server.get(target)

    clients = [threading.Thread(target=ask) for _ in range(2)]
    for client in clients:
        client.start()
    try:
        for number in range(5):
            wait_for("it is kept", lambda: was_kept(server.get(target)))
            replace(path, retitled(text, f"Version {number}"))
            assert [r["status"] for r in server.ctl_json("reload", "changing")] == ["flipped"]
            for _ in range(8):
                assert f"<Title>Version {number}</Title>" in server.get(target).text
    finally:
        over.set()
        for client in clients:
            client.join()


def test_a_project_that_is_gone_is_404_though_its_document_was_kept(
    server: Instance, shared_root: Path
) -> None:
    target = ows_path("passing", **CAPABILITIES)
    settled(server, target)
    (shared_root / "passing.qgs").unlink()
    server.ctl("reload", "passing")
    for _ in range(4):
        assert server.get(target).status == 404


def test_purge_forgets(server: Instance) -> None:
    target = ows_path("purged", **CAPABILITIES)
    for arguments in (["purge", "purged"], ["purge"]):
        settled(server, target)
        server.ctl(*arguments)
        assert not was_kept(server.get(target))


def test_a_project_that_is_closed_is_asked_for_anew(server: Instance) -> None:
    target = ows_path("purged", **CAPABILITIES)
    settled(server, target)
    server.ctl("evict", "purged")
    assert not was_kept(server.get(target))
    settled(server, target)


def test_a_dispatcher_that_dies_takes_its_knowledge_with_it(server: Instance) -> None:
    target = ows_path(**CAPABILITIES)
    body = settled(server, target).body
    server.child("dispatcher").kill()
    for _ in range(4):
        assert server.get(target).body == body
    settled(server, target)


# Plugins.

GREETER = """
from qgis.server import QgsServerFilter

class Greeter(QgsServerFilter):
    def responseComplete(self):
        handler = self.serverInterface().requestHandler()
        names = ("Authorization", "Cookie", "X-Qgis-User")
        told = "|".join(handler.requestHeader(name) or "-" for name in names)
        handler.appendBody(f"<!-- VERSION {told} -->".encode())

def serverClassFactory(server):
    filter_ = Greeter(server)
    server.registerFilter(filter_, 100)
    return filter_
"""
USERS = [
    {"Authorization": "Basic YTph"},
    {"Authorization": "Basic YjpiYg=="},
    {"Cookie": "session=1"},
    {"Cookie": "session=2"},
    {"X-Qgis-User": "anna"},
    {"X-Qgis-User": "bert", "Cookie": "session=1"},
    {"X-Lizmap-User": "guest"},
    {},
]


def _plugins(folder: Path, declared: str) -> Path:
    (folder / "greeter").mkdir(parents=True)
    (folder / "greeter" / "__init__.py").write_text(GREETER.replace("VERSION", "one"))
    metadata = "[general]\nname=greeter\nversion=1\nserver=True\nqgisMinimumVersion=3.22\n"
    (folder / "greeter" / "metadata.txt").write_text(metadata + declared)
    (folder / "gatekeeper").symlink_to(PLUGINS / "gatekeeper")
    return folder


def _answered_to(user: dict[str, str], answer: Answer) -> bool:
    told = "|".join(user.get(name, "-") for name in ("Authorization", "Cookie", "X-Qgis-User"))
    guest = user.get("X-Lizmap-User") == "guest"
    return f" {told} -->" in answer.text and ("<Name>oceans</Name>" in answer.text) != guest


def test_with_a_plugin_that_declares_nothing_nothing_is_kept(launch, projects, tmp_path) -> None:  # type: ignore[no-untyped-def]
    plugins = _plugins(tmp_path / "plugins", "")
    instance = launch("--rootdir", str(projects), config=f"[server]\npluginpath={plugins}\n")
    target = ows_path(**CAPABILITIES)
    for user in USERS * 2:
        answer = instance.get(target, **user)
        assert _answered_to(user, answer), (user, answer.text[-200:])
        assert not was_kept(answer)
    assert "no answers are kept: gatekeeper, greeter" in instance.log_text


def test_with_plugins_that_declare_themselves_nobody_gets_anothers_answer(launch, projects, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """And after a restart with another plugin nobody gets an answer of the old one."""
    plugins = _plugins(tmp_path / "plugins", "answersDependOn=Authorization, cookie, X-Qgis-User\n")
    config = f"[server]\npluginpath={plugins}\n[answers.plugins]\ngatekeeper=X-Lizmap-User\n"
    instance = launch("--rootdir", str(projects), config=config)
    target = ows_path(**CAPABILITIES)
    for user in USERS:
        wait_for("it is kept", lambda user=user: was_kept(instance.get(target, **user)))
    for user in USERS * 3:
        answer = instance.get(target, **user)
        assert was_kept(answer)
        assert _answered_to(user, answer), (user, answer.text[-200:])
    (plugins / "greeter" / "__init__.py").write_text(GREETER.replace("VERSION", "two"))
    instance.ctl("restart")
    for user in USERS * 2:
        assert "<!-- two " in instance.get(target, **user).text
