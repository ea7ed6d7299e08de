"""Syncing the pocket index: no sync, however it goes, leaves anything but a whole state."""

import asyncio
import dataclasses
import hashlib
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import msgpack
import numpy as np
import pytest
from support.pockets import SIZE, opened, state, vectors

from sightline_edge import Device, pocket
from sightline_edge.pocket import PocketIndex
from sightline_edge.pocket_sync import Synced, sync
from sightline_shared import pocket_file
from sightline_shared.errors import (
    AnswerMalformed,
    KeyUnknown,
    PocketUnusable,
    ServiceBusy,
    ServiceFailed,
    ServiceTimeout,
    ServiceUnreachable,
    VersionMismatch,
)
from sightline_shared.pocket_file import MAX_FILE_BYTES, Part, Pocket

URL = "http://service.test"


@pytest.fixture(scope="module")
def device(tiny) -> Device:
    return Device.load(tiny)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pocket.slp"


def test_whatever_the_service_calls_a_version_travels_back_as_it_came(device: Device, path: Path) -> None:
    odd = "v1&pairing=00 \r\nx: y/é"
    index = opened(path, device, dataclasses.replace(state(device, [1]), version=odd))
    cloud = Cloud(304)
    assert not synced(index, cloud).changed
    assert cloud.asked == [{"pairing": device.bundle.pairing.id.hex(), "have": odd}]


class Cloud:
    """A service that answers with what it is given, one reply a call: bytes, a status, or an error."""

    def __init__(self, *replies: bytes | int | httpx.Response | Exception) -> None:
        self.replies, self.asked = list(replies), []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(dict(request.url.params))
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, httpx.Response):
            return reply
        return httpx.Response(reply) if isinstance(reply, int) else httpx.Response(200, content=reply)


def synced(index: PocketIndex, cloud: Callable[[httpx.Request], httpx.Response], **options: int) -> Synced:
    async def run() -> Synced:
        async with httpx.AsyncClient(transport=httpx.MockTransport(cloud)) as http:
            return await sync(index, http, URL, **options)

    return asyncio.run(run())


def delta(before: Pocket, after: Pocket) -> bytes:
    return after.delta(~np.isin(after.pks, before.pks))


def ids(index: PocketIndex) -> list[str]:
    return sorted(match.id for match in index.search(vectors(1)[0], 50))


def test_the_first_sync_fetches_the_file_and_the_next_what_changed(device: Device, path: Path) -> None:
    first, second = state(device, [1, 2, 3], seq=1), state(device, [2, 3, 4], seq=2)
    index = PocketIndex.open_or_empty(path, device)
    cloud = Cloud(first.to_bytes(), delta(first, second), 304)
    done = synced(index, cloud)
    assert (done.changed, done.items, done.version, done.calls) == (True, 3, "v1", 1)
    assert path.read_bytes() == first.to_bytes() and done.bytes_down == len(first.to_bytes())
    done = synced(index, cloud)
    assert (done.changed, done.calls) == (True, 1) and done.bytes_down < len(first.to_bytes())
    assert ids(index) == ids(PocketIndex.open(path, device)) == ["i2", "i3", "i4"], "a deleted item never answers again"
    done = synced(index, cloud)
    assert (done.changed, done.items, done.bytes_down) == (False, 3, 0)
    pairing = device.bundle.pairing.id.hex()
    assert cloud.asked == [{"pairing": pairing}, *({"pairing": pairing, "have": have} for have in ("v1", "v2"))]


def test_a_delta_that_misses_its_mark_is_noticed_and_the_whole_file_asked_for(device: Device, path: Path) -> None:
    held, other, final = state(device, [1, 2, 3]), state(device, [1, 2, 9], seq=5), state(device, [2, 9, 11], seq=6)
    wrong_rows = dataclasses.replace(state(device, [1, 2, 3]), codes=np.zeros((3, SIZE), np.uint8))
    for bad in (delta(other, final), final.delta(final.pks > 10), delta(wrong_rows, state(device, [1, 2, 4]))):
        index = opened(path, device, held)
        before = path.read_bytes()
        cloud = Cloud(bad, final.to_bytes(), 304)
        if bad == delta(wrong_rows, state(device, [1, 2, 4])):
            forged = msgpack.unpackb(bad[48:])
            body = msgpack.packb({**forged, "digest": bytes(32)})
            cloud.replies[0] = sealed(body)
        assert not index.apply(cloud.replies[0]) and path.read_bytes() == before and ids(index) == ["i1", "i2", "i3"]
        index = opened(path, device, held)
        done = synced(index, cloud)
        assert (done.calls, done.items, done.version) == (2, 3, "v6") and ids(index) == ["i11", "i2", "i9"]
        assert [asked.get("have") for asked in cloud.asked] == ["v1", None]
        synced(index, cloud)
        assert cloud.asked[-1]["have"] == "v6", "from then on deltas again"


def sealed(body: bytes) -> bytes:
    return (
        pocket_file.HEADER.pack(pocket_file.MAGIC, pocket_file.FORMAT, len(body), hashlib.sha256(body).digest()) + body
    )


def test_a_whole_file_that_is_not_what_it_says_is_refused_and_not_asked_for_for_ever(
    device: Device, path: Path
) -> None:
    index = opened(path, device, state(device, [1, 2, 3]))
    fields = msgpack.unpackb(state(device, [4, 5], seq=2).to_bytes()[48:])
    lie = sealed(msgpack.packb({**fields, "digest": bytes(32)}))
    cloud = Cloud(lie, lie, lie)
    with pytest.raises(PocketUnusable, match="digest"):
        synced(index, cloud)
    assert len(cloud.asked) == 1 and ids(index) == ["i1", "i2", "i3"]
    stubborn = state(device, [1, 7], seq=2).delta(np.array([False, False]))
    with pytest.raises(PocketUnusable):
        synced(index, cloud := Cloud(stubborn, stubborn, stubborn))
    assert len(cloud.asked) == 2 and ids(index) == ["i1", "i2", "i3"]


def busy() -> httpx.Response:
    return httpx.Response(503, headers={"retry-after": "3"})


REFUSED = msgpack.packb({"code": "E_KEY_UNKNOWN", "message": "the API key is not known.", "hint": ""})
TROUBLES: dict[str, tuple[bytes | int | httpx.Response | Exception, type[Exception]]] = {
    "down": (httpx.ConnectError("refused"), ServiceUnreachable),
    "slow": (httpx.ReadTimeout("late"), ServiceTimeout),
    "broken off": (httpx.RemoteProtocolError("peer closed connection"), AnswerMalformed),
    "garbage": (b"<html>a proxy's page</html>", PocketUnusable),
    "nothing": (b"", PocketUnusable),
    "wrong key": (httpx.Response(401, content=REFUSED), KeyUnknown),
    "failing": (500, ServiceFailed),
    "busy": (busy(), ServiceBusy),
    "compressed": (
        httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"")),
        AnswerMalformed,
    ),
    "a flood": (b"x" * (MAX_FILE_BYTES + 1), AnswerMalformed),
}


@pytest.mark.parametrize(("reply", "error"), TROUBLES.values(), ids=TROUBLES)
def test_whatever_goes_wrong_the_old_state_stays_and_answers(device: Device, path: Path, reply, error) -> None:
    index = opened(path, device, state(device, [1, 2, 3]))
    before = path.read_bytes()
    with pytest.raises(error):
        synced(index, Cloud(reply))
    assert path.read_bytes() == before and ids(index) == ["i1", "i2", "i3"] and index.version == "v1"


def test_an_answer_cut_off_at_any_byte_leaves_the_old_state(device: Device, path: Path) -> None:
    first, second = state(device, [1, 2], seq=1), state(device, [2, 3], seq=2)
    index = opened(path, device, first)
    before, whole = path.read_bytes(), delta(first, second)
    for end in range(len(whole)):
        with pytest.raises(PocketUnusable):
            index.apply(whole[:end])
    assert path.read_bytes() == before and ids(index) == ["i1", "i2"]
    assert index.sync_request().endswith("have=v1") and index.apply(whole) and ids(index) == ["i2", "i3"]


def test_an_answer_of_another_bundle_is_refused(device: Device, path: Path) -> None:
    index = opened(path, device, state(device, [1, 2]))
    with pytest.raises(VersionMismatch):
        synced(index, Cloud(state(device, [5], pairing_id=b"stranger").to_bytes()))
    assert ids(index) == ["i1", "i2"] and PocketIndex.open(path, device).version == "v1"


def test_a_full_disk_leaves_the_old_state(device: Device, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = opened(path, device, state(device, [1, 2]))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pocket_file.os, "fsync", full)
    with pytest.raises(PocketUnusable, match="No space left"):
        synced(index, Cloud(state(device, [2, 3], seq=2).to_bytes()))
    monkeypatch.undo()
    assert ids(index) == ids(PocketIndex.open(path, device)) == ["i1", "i2"]


def test_an_answer_that_trickles_is_given_up_at_the_deadline(device: Device, path: Path) -> None:
    index = opened(path, device, state(device, [1, 2]))

    async def trickle():
        while True:
            yield b"x"
            await asyncio.sleep(0.01)

    with pytest.raises(ServiceTimeout, match="after 100 ms"):
        synced(index, lambda request: httpx.Response(200, content=trickle()), deadline_ms=100)
    assert ids(index) == ["i1", "i2"]


def test_a_file_that_another_process_brought_further_is_kept_and_taken_over(device: Device, path: Path) -> None:
    states = [state(device, [1, 2], seq=1), state(device, [2, 3], seq=2), state(device, [3, 4], seq=3)]
    slow, quick = opened(path, device, states[0]), opened(path, device, states[0])
    slow.sync_request(), quick.sync_request()
    assert quick.apply(delta(states[0], states[2]))
    assert slow.apply(delta(states[0], states[1])), "the answer that was asked for before"
    assert slow.version == quick.version == PocketIndex.open(path, device).version == "v3" and ids(slow) == ["i3", "i4"]


def test_a_catalogue_that_went_back_to_a_backup_is_followed(device: Device, path: Path) -> None:
    index = opened(path, device, state(device, [1, 2, 3], seq=100))
    synced(index, Cloud(state(device, [1, 2], seq=50).to_bytes()))
    assert index.version == "v50" and PocketIndex.open(path, device).version == "v50"


def test_searches_beside_syncs_see_one_state_or_the_other(device: Device, path: Path) -> None:
    states = [state(device, range(1, 40), seq=1), state(device, range(100, 140), seq=2)]
    index, seen, stop = opened(path, device, states[0]), set(), threading.Event()

    def ask() -> None:
        while not stop.is_set():
            seen.add(tuple(ids(index)))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for turn in range(10):
        index.sync_request()
        assert index.apply(states[(turn + 1) % 2].to_bytes())
    stop.set()
    for thread in threads:
        thread.join()
    assert seen <= {tuple(sorted(f"i{pk}" for pk in each.pks)) for each in states}


SYNCING = """
import sys
from pathlib import Path
from sightline_edge import Device
from sightline_edge.pocket import PocketIndex

folder, bundle, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
index = PocketIndex.open_or_empty(folder / "pocket.slp", Device.load(bundle))
files = sorted((folder / "states").iterdir())
print("ready", flush=True)
sys.stdin.readline()
for turn in range(15):
    index.sync_request()
    assert index.apply(files[(7 * turn + seed) % len(files)].read_bytes()), turn
"""


def test_processes_that_sync_at_once_leave_a_whole_file(device: Device, tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "states").mkdir()
    for number in range(5):
        whole = state(device, range(number, number + 20), seq=number + 1)
        (tmp_path / "states" / f"{number}").write_bytes(whole.to_bytes())
    command = [sys.executable, "-c", SYNCING, str(tmp_path), str(tiny_folder)]
    running = [
        subprocess.Popen(
            [*command, str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for seed in range(2)
    ]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in running:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    last = Part.from_bytes((tmp_path / "pocket.slp").read_bytes()).onto(None)
    assert len(last.pks) == 20 and last.version in {f"v{n}" for n in range(1, 6)}
    assert sorted(each.name for each in tmp_path.iterdir()) == ["pocket.slp", "pocket.slp.lock", "states"]


KILLED = """
import os, signal, sys
from pathlib import Path
from sightline_edge import Device
from sightline_edge.pocket import PocketIndex

folder, bundle, at = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
index = PocketIndex.open(folder / "pocket.slp", Device.load(bundle))
index.sync_request()
real = getattr(os, at)
def kill(*args, **kwargs):
    if at == "replace":
        os.kill(os.getpid(), signal.SIGKILL)
    real(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(os, at, kill)
index.apply((folder / "next").read_bytes())
"""


@pytest.mark.parametrize("at", ["fsync", "replace"])
def test_a_process_that_is_killed_while_it_syncs_leaves_the_old_file(
    device: Device, tiny_folder: Path, tmp_path: Path, at: str
) -> None:
    opened(tmp_path / "pocket.slp", device, state(device, [1, 2]))
    (tmp_path / "next").write_bytes(state(device, [2, 3], seq=2).to_bytes())
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(tiny_folder), at], capture_output=True)
    assert done.returncode == -9, done.stderr.decode()
    index = PocketIndex.open(tmp_path / "pocket.slp", device)
    assert ids(index) == ["i1", "i2"]
    index.sync_request()
    assert index.apply((tmp_path / "next").read_bytes()), "nothing is left locked"
    assert {each.name for each in tmp_path.iterdir()} == {"pocket.slp", "pocket.slp.lock", "next"}


def test_systems_without_file_locks_sync_too(device: Device, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    index = PocketIndex(path, device)
    assert index.apply(state(device, [1, 2]).to_bytes()) and ids(PocketIndex.open(path, device)) == ["i1", "i2"]
    assert pocket.PATH == "/v1/pocket"
