# SPDX-License-Identifier: GPL-2.0-or-later
"""Single flight with real renderings: the same request at the same time costs one, and only that."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.instance import GET_MAP, Answer, Instance, ows_path
from tests.waiting import wait_for

PLUGINS = Path(__file__).parents[1] / "plugins"
# Takes a good part of a second.
MAP = ows_path(**{**GET_MAP, "WIDTH": "3000", "HEIGHT": "3000"})


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, shared_root: Path) -> Iterator[Instance]:
    folder = tmp_path_factory.mktemp("q")
    config = folder / "qgsd.ini"
    config.write_text(f"[server]\npluginpath={PLUGINS}\n")
    arguments = ("-c", str(config), "--rootdir", str(shared_root), "-w", "2")
    instance = Instance(folder / "i", "run", arguments)
    with instance:
        yield instance


class Together:
    """Requests at once, each with headers of its own."""

    def __init__(
        self, instance: Instance, target: str, *headers: dict[str, str], method: str = "GET"
    ) -> None:
        self.answers: list[Answer] = []
        self._threads = [
            threading.Thread(target=self._ask, args=(instance, method, target, own), daemon=True)
            for own in headers
        ]
        for thread in self._threads:
            thread.start()

    def _ask(self, instance: Instance, method: str, target: str, headers: dict[str, str]) -> None:
        self.answers.append(instance.request(method, target, headers=headers))

    def wait(self) -> list[Answer]:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()
        return self.answers


def renderings(instance: Instance) -> int:
    return sum(row["requests"] for row in instance.workers())


def coalesced(instance: Instance) -> int:
    return int(instance.ctl_json("status")["counters"]["coalesced"])


def sleep(seconds: float, name: str) -> str:
    return ows_path(SERVICE="PROBE", REQUEST="sleep", VALUE=str(seconds), NAME=name)


def test_a_map_that_many_ask_for_is_drawn_once(pair: Instance) -> None:
    alone = pair.get(MAP)
    before, shared = renderings(pair), coalesced(pair)
    answers = Together(pair, MAP, *[{} for _ in range(8)]).wait()
    assert {(answer.status, answer.body) for answer in answers} == {(200, alone.body)}
    assert renderings(pair) - before == 1
    assert coalesced(pair) - shared == 7
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == 8
    assert sum("shared" in answer.headers["Server-Timing"] for answer in answers) == 7
    for answer in answers:
        spent = [float(number) for number in re.findall(r"dur=([\d.]+)", answer.headers["Server-Timing"])]
        assert len(spent) >= 3
        assert all(number >= 0 for number in spent)


def test_who_asks_is_part_of_what_is_asked(pair: Instance) -> None:
    before = renderings(pair)
    people = [{"Authorization": name, "X-Probe": name} for name in "aabb"]
    answers = Together(pair, sleep(1, "people"), *people).wait()
    assert sorted(answer.headers["X-Probe"] for answer in answers) == ["a", "a", "b", "b"]
    assert renderings(pair) - before == 2


def test_posts_are_not_shared(pair: Instance) -> None:
    before = renderings(pair)
    Together(pair, sleep(0.2, "posts"), {}, {}, method="POST").wait()
    assert renderings(pair) - before == 2


def test_the_client_that_was_first_may_leave(pair: Instance) -> None:
    shared = coalesced(pair)
    target = sleep(3, "leaving")
    with socket.create_connection(("127.0.0.1", pair.port)) as leaving:
        # As http.client would send it, for all headers count.
        head = f"Host: 127.0.0.1:{pair.port}\r\nAccept-Encoding: identity"
        leaving.sendall(f"GET {target} HTTP/1.1\r\n{head}\r\n\r\n".encode())
        wait_for("it runs", lambda: pair.ctl_json("status")["workers"]["busy"] == 1)
        others = Together(pair, target, {}, {})
        wait_for("others ride", lambda: coalesced(pair) - shared == 2)
    assert [answer.status for answer in others.wait()] == [200, 200]


def test_all_get_the_answer_of_a_second_try(pair: Instance) -> None:
    shared, retries = coalesced(pair), pair.ctl_json("status")["counters"]["retries"]
    together = Together(pair, sleep(4, "killed"), {}, {}, {})
    wait_for("two ride", lambda: coalesced(pair) - shared == 2)
    (busy,) = [row for row in pair.workers() if row["state"] == "busy"]
    pair.ctl("kill", str(busy["pid"]))
    assert [answer.status for answer in together.wait()] == [200, 200, 200]
    assert pair.ctl_json("status")["counters"]["retries"] - retries == 1


def test_it_can_be_turned_off(pair: Instance) -> None:
    config = pair.folder.parent / "qgsd.ini"
    before = config.read_text()
    config.write_text(f"{before}single_flight=no\n")
    pair.ctl("reload")
    try:
        before_it = renderings(pair)
        Together(pair, sleep(0.3, "off"), {}, {}).wait()
        assert renderings(pair) - before_it == 2
    finally:
        config.write_text(before)
        pair.ctl("reload")
