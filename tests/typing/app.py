from collections.abc import Iterator

from sightline_edge import (
    Answer,
    AnswerCache,
    AsyncClient,
    Box,
    Client,
    Device,
    Options,
    Outcome,
    PocketIndex,
    Session,
    SightlineError,
    Tap,
    best_of,
)
from sightline_edge.testing import FakeCloud, busy, late, unreachable


def ask(path: str) -> list[tuple[str, float]]:
    with Client("http://127.0.0.1:8765", api_key="sk_x", options=Options(k=5)) as client:
        try:
            answer: Answer = client.search(path, where={"category": "milk", "colour": ["red"], "available": True})
        except SightlineError as error:
            print(error.code, error.hint)
            return []
        if answer.outcome is Outcome.RETAKE:
            print(answer.reasons[0])
        return [(match.id, match.score) for match in answer.matches]


def race(frames: Iterator[bytes]) -> list[str]:
    device = Device.load()
    pocket = PocketIndex.open_or_empty("pocket.slp", device)
    said: list[str] = []
    with Client("http://x", device=device, pocket=pocket, cache=AnswerCache(keep_s=10), session=Session()) as client:
        client.wake()
        items: int = client.sync_pocket().items
        shot = best_of(frames, device)
        for answer in client.stream(shot.frame, regions=[Box(0, 0, 50, 50), Tap(20, 30)]):
            box: Box = answer.regions[answer.matches[0].code_index]
            said.append(f"{answer.decided_by} {answer.final} {answer.trouble} {box.left} {items}")
        slow: float | None = client.network.round_trip_ms
        print(slow)
    return said


async def aask(path: str) -> str:
    async with AsyncClient("http://127.0.0.1:8765") as client:
        async for answer in client.stream(path):
            if answer.final:
                break
        return (await client.search(path)).outcome.value


def rehearse(device: Device, photo: str) -> int:
    cloud = FakeCloud(device, {"a": photo}, metadata={"a": {"colour": "red"}}, delay_ms=5)
    cloud.will(unreachable(), busy(retry_after_s=1), late(20))
    with Client("http://fake.test", device=device, transport=cloud) as client:
        return client.search(photo).attempts + len(cloud.queries)
