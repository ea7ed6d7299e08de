"""The end of a service, and its beginning: what is asked is answered, nothing new is taken, and nobody is told 'ready' too early."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from support.tiny_bundle import picture

from sightline_cloud.catalog.records import Embedding, NewItem
from sightline_cloud.engine import Engine
from sightline_cloud.settings import Settings
from sightline_edge import Device
from sightline_shared.preprocess import to_tensor
from sightline_shared.protocol import Query, pack_query, unpack_answer

BOUND_S = 30.0
ITEMS, AT_ONCE = 6, 2
# `sightline serve` whose `what` says in a file that it has begun, and goes on when another file is there.
HELD = """
import sys, time
from pathlib import Path
from sightline_cloud.index.tenants import TenantIndexes
from sightline_shared.cli import main

folder, what = Path(sys.argv[1]), sys.argv[2]
honest = getattr(TenantIndexes, what)

def held(*args, **kwargs):
    (folder / f"begun-{time.monotonic_ns()}").touch()
    give_up = time.monotonic() + 60
    while not (folder / "go").exists() and time.monotonic() < give_up:
        time.sleep(0.005)
    return honest(*args, **kwargs)

setattr(TenantIndexes, what, held)
sys.exit(main(sys.argv[3:]))
"""


def eventually(holds: Callable[[], bool], what: str) -> None:
    give_up = time.monotonic() + BOUND_S
    while not holds():
        assert time.monotonic() < give_up, f"not within {BOUND_S} s: {what}"
        time.sleep(0.01)


class Held:
    """A service in a process of its own, whose searches (or start) are held up until `go`."""

    def __init__(self, folder: Path, bundle_dir: Path, tiny, what: str) -> None:
        self.folder, self.device, data = folder, Device.load(tiny), folder / "data"
        engine = Engine(Settings(data_dir=data), tiny)
        self.codes = self._fill(engine)
        self.key = engine.keys.add("all")
        engine.close()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        words = [
            "serve",
            "--data",
            str(data),
            "--bundle",
            str(bundle_dir),
            "--port",
            str(self.port),
            "--admin-port",
            "0",
        ]
        words += ["--search-threads", str(AT_ONCE), "--json"]
        self.url = f"http://127.0.0.1:{self.port}"
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", HELD, str(folder), what, *words],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )

    def _fill(self, engine: Engine) -> list[bytes]:
        vectors = self.device.runtime.embed(np.stack([to_tensor(picture(n), 192) for n in range(ITEMS)]))
        codes = [code.tobytes() for code in self.device.codec.encode(vectors)]
        key = engine.primary.key
        rows = zip(vectors, codes, strict=True)
        engine.store.add("default", [NewItem(f"item/{n}", {key: Embedding(*row)}) for n, row in enumerate(rows)])
        return codes

    def go(self) -> None:
        (self.folder / "go").touch()

    def begun(self) -> int:
        return len(list(self.folder.glob("begun-*")))

    def listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def is_up(self) -> bool:
        return " serves " in self.log()

    def query(self, number: int) -> bytes:
        return pack_query(
            Query(
                self.device.bundle.pairing.id, (self.codes[number],), number.to_bytes(8, "big"), k=3, deadline_ms=10_000
            )
        )

    def log(self) -> str:
        return (self.folder / "log").read_text()


@pytest.fixture
def held(tmp_path: Path, tiny_folder: Path, tiny) -> Iterator[Callable[[str], Held]]:
    begun: list[Held] = []

    def begin(what: str) -> Held:
        begun.append(Held(tmp_path, tiny_folder, tiny, what))
        return begun[-1]

    yield begin
    for service in begun:
        service.go()
        service.process.kill()
        service.process.communicate()


def test_what_is_asked_when_the_end_comes_is_answered_and_nothing_new_is_taken(held) -> None:
    service = held("search")
    eventually(service.is_up, "the start")
    got: dict[int, httpx.Response] = {}

    def ask(number: int) -> None:
        headers = {"authorization": f"Bearer {service.key}", "content-type": "application/msgpack"}
        got[number] = httpx.post(
            service.url + "/v1/search", content=service.query(number), headers=headers, timeout=BOUND_S
        )

    asking = [threading.Thread(target=ask, args=(number,)) for number in range(ITEMS)]
    for thread in asking:
        thread.start()
    eventually(lambda: service.begun() == AT_ONCE, "two searches run, four wait")
    ready = httpx.get(service.url + "/readyz")
    assert ready.status_code == 200
    service.process.send_signal(signal.SIGTERM)
    eventually(lambda: not service.listens(), "the door is shut while queries are in the house")
    assert service.process.poll() is None and not got
    with pytest.raises(httpx.ConnectError):
        httpx.get(service.url + "/readyz")
    service.go()
    for thread in asking:
        thread.join(BOUND_S)
    assert sorted(got) == list(range(ITEMS))
    for number, response in got.items():
        answer = unpack_answer(response.content)
        assert response.status_code == 200 and not answer.partial
        assert answer.matches[0].id == f"item/{number}"
    out, _ = service.process.communicate(timeout=BOUND_S)
    assert service.process.returncode == 0, service.log()
    assert json.loads(out)["stopped"] is True
    assert "Traceback" not in service.log()


def test_a_query_that_comes_on_a_kept_connection_after_the_end_began_is_not_lost_without_a_word(held) -> None:
    """Idle connections are closed with the door; whoever was waiting on one sees that, and asks another machine."""
    service = held("search")
    eventually(service.is_up, "the start")
    with httpx.Client(base_url=service.url, timeout=BOUND_S) as http:
        assert http.get("/readyz").status_code == 200
        asked = threading.Thread(
            target=lambda: httpx.post(
                service.url + "/v1/search",
                content=service.query(0),
                headers={"authorization": f"Bearer {service.key}"},
                timeout=BOUND_S,
            )
        )
        asked.start()
        eventually(lambda: service.begun() == 1, "a query runs")
        service.process.send_signal(signal.SIGTERM)
        eventually(lambda: not service.listens(), "the door is shut")
        with pytest.raises(httpx.TransportError):
            http.get("/readyz")
        service.go()
        asked.join(BOUND_S)
    service.process.communicate(timeout=BOUND_S)
    assert service.process.returncode == 0


def test_nobody_is_told_ready_before_the_indexes_are_there(held) -> None:
    service = held("_start")
    eventually(lambda: service.begun() == 1, "the indexes are being built")
    assert service.listens(), "the port is taken early, so that a second service hears of it"
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(service.url + "/readyz", timeout=0.3)
    service.go()
    eventually(service.is_up, "the start")
    assert httpx.get(service.url + "/readyz", timeout=BOUND_S).json() == {"ok": True, "index": ITEMS}


def test_a_start_that_is_ended_ends_at_once(held) -> None:
    service = held("_start")
    eventually(lambda: service.begun() == 1, "the indexes are being built")
    service.process.send_signal(signal.SIGTERM)
    service.process.communicate(timeout=BOUND_S)
    assert service.process.returncode == -signal.SIGTERM
    assert "Traceback" not in service.log()
