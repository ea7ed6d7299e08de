"""What the pocket finds is judged as the service judges: by the bundle's models, of the same evidence."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from support.tiny_bundle import picture

from sightline_cloud.rank.candidate import Candidate
from sightline_cloud.rank.confidence import Confidence
from sightline_cloud.rank.evidence import gather
from sightline_edge import Client, Device, Options, Outcome
from sightline_edge.local import judged
from sightline_edge.pipeline import Observation, observe
from sightline_edge.testing import FakeCloud
from sightline_shared.budget import Budget
from sightline_shared.confidence import Calibration, Logistic, Model
from sightline_shared.heads import Heads, Semantic
from sightline_shared.protocol import Match

SURE, UNSURE = 9.0, -2.0
LABELS = ("Shoes", "Milk")


def calibrated(bias: float) -> Calibration:
    """Return one model that needs every signal, and says of any near thing what `bias` says."""
    first = Logistic({"cosine": 1.0, "margin": 1.0, "agreement": 1.0, "compatibility": 1.0}, bias)
    bare = Model(Logistic({"gate": 1.0}, SURE), Logistic({"cosine": 1.0}, bias - 1), 0.5, 0.05)
    return Calibration((Model(Logistic({"gate": 1.0}, SURE), first, 0.5, 0.05), bare), dict.fromkeys(LABELS, "shop"))


@pytest.fixture(scope="module")
def device(tiny) -> Device:
    loaded = Device.load(tiny)
    weights = np.random.default_rng(0).normal(size=(len(LABELS), loaded.codec.dim)).astype(np.float32)
    heads = Heads(Semantic(LABELS, weights, np.zeros(len(LABELS), np.float32)))
    return dataclasses.replace(loaded, heads=heads, calibration=calibrated(UNSURE))


@pytest.fixture(scope="module")
def seen(device: Device) -> Observation:
    return observe(picture(1), device, Budget())


class Shelf:
    """A pocket index with what it finds laid down, best first; `asked` is how many it was asked for."""

    def __init__(self, matches: tuple[Match, ...]) -> None:
        self.matches, self.asked = matches, 0

    def __len__(self) -> int:
        return len(self.matches)

    def search(self, embedding, k, where=None):
        self.asked = k
        return self.matches[:k]


def shelf(count: int = 14, category: Callable[[int], object] = lambda n: LABELS[n % 2]) -> tuple[Match, ...]:
    return tuple(Match(f"item/{n}", 0.9 - 0.02 * n, {"category": category(n)}) for n in range(count))


@pytest.mark.parametrize("category", [lambda n: LABELS[n % 2], lambda n: "Milk", lambda n: "Books", lambda n: 7])
def test_the_verdict_is_the_services_on_the_same_matches(device: Device, seen: Observation, category) -> None:
    matches = shelf(category=category)
    candidates = [Candidate(n, one.id, one.score, 0, one.metadata, b"") for n, one in enumerate(matches)]
    vectors, gate = seen.sent[0].embedding[np.newaxis], (seen.sent[0].gate_score,)
    evidence = gather(candidates[0], candidates, gate, vectors, device.heads)
    confidence = Confidence(device.calibration, device.bundle.manifest.decision)
    assert judged(matches, seen, device) == confidence.judge(evidence)


def test_its_neighbours_and_its_category_count(device: Device, seen: Observation) -> None:
    mixed, alone = judged(shelf(), seen, device), judged(shelf(category=lambda n: "Milk"), seen, device)
    bare = judged(shelf(category=lambda n: None), seen, device)
    assert len({mixed.probability, alone.probability, bare.probability}) == 3


def test_a_find_that_the_model_doubts_is_unsure_and_does_not_settle(device: Device) -> None:
    cloud = FakeCloud(device, {f"item/{n}": picture(n) for n in range(3)})
    options = Options(pocket_settles=True)
    with Client("http://fake.test", device=device, transport=cloud, pocket=Shelf(shelf()), options=options) as client:
        first, last = client.stream(picture(1))
        assert (first.decided_by, first.outcome, first.final) == ("pocket", Outcome.UNSURE, False)
        assert 0.05 < first.confidence < 0.5 and first.reasons[0].startswith("not_sure: ")
        assert last.decided_by == "cloud"
    sure = dataclasses.replace(device, calibration=calibrated(SURE))
    with Client("http://fake.test", device=sure, transport=cloud, pocket=Shelf(shelf()), options=options) as client:
        (only,) = client.stream(picture(1))
        assert (only.outcome, only.final, only.reasons) == (Outcome.FOUND, True, ()) and only.confidence > 0.9


def test_the_ten_nearest_are_looked_at_however_few_are_asked_for(device: Device) -> None:
    cloud, pocket = FakeCloud(device, {"item/1": picture(1)}), Shelf(shelf())
    given = []
    for k in (2, 12):
        with Client("http://fake.test", device=device, transport=cloud, pocket=pocket, options=Options(k=k)) as client:
            given.append(next(iter(client.stream(picture(1)))))
        assert len(given[-1].matches) == k
    assert pocket.asked == 12 and given[0].confidence == given[1].confidence


def test_a_bundle_without_models_judges_by_its_thresholds(device: Device, seen: Observation) -> None:
    plain = dataclasses.replace(device, calibration=None)
    verdict = judged(shelf(), seen, plain)
    assert verdict.decision.label == "found" and verdict.probability is None
