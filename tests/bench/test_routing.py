"""The routing table: counts against hand-made embeddings whose codes are known, subjects kept together, text that is honest."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.policies import policy

from sightline_bench.packs import Photo
from sightline_bench.quality import routing as module
from sightline_bench.quality.embeddings import Embedded
from sightline_bench.quality.evaluate import _plain
from sightline_bench.quality.routing import Subjects, routing
from sightline_bench.quality.tables import NEVER_SEEN, routing_lines
from sightline_bench.quality.tasks import Suite, Task
from sightline_edge import Device
from sightline_edge.quality import Quality
from sightline_shared.heads import Sensitive

DIM = 8
# A head that reads the first number: a logit of 1 a unit, 0 is the threshold.
HEAD = Sensitive(("xray", "rash"), np.eye(DIM, dtype=np.float32)[0], 0.0, unsure_above=0.5, sensitive_above=0.9)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    """The shipped bundle with that head, and codes that pull the first number of an embedding down by one."""
    device = Device.load()
    assert device.heads
    monkeypatch.setattr(module, "sent", lambda vectors, _: vectors - np.eye(DIM, dtype=np.float32)[0])
    return dataclasses.replace(device, heads=dataclasses.replace(device.heads, sensitive=HEAD))


class Album:
    """Photographs with made-up embeddings: the first number is given, the rest is noise."""

    def __init__(self) -> None:
        self.embedded: dict[Path, Embedded] = {}
        self._rng = np.random.default_rng(4)

    def add(self, kind: str, values: list[float], instance: str = "") -> tuple[Photo, ...]:
        made = []
        for value in values:
            path = Path(f"{kind}-{len(self.embedded)}")
            vector = self._rng.normal(0, 0.05, DIM).astype(np.float32)
            vector[0] = value
            self.embedded[path] = Embedded(vector, None, Quality(1.0, 1.0))
            made.append(Photo(path, "s", kind, kind, "", instance, ""))
        return tuple(made)


def test_misses_and_what_is_taken_are_counted_on_codes_with_and_without_the_margin(device: Device) -> None:
    album = Album()
    gallery = album.add("shop", [-4.0 - i % 7 for i in range(60)])
    asked, odd = album.add("shop", [-3.0] * 6 + [0.7, 1.5]), album.add("odd", [0.2, -1.0, -2.0, 3.0])
    rays = album.add("xray", [5.0, 5.5, 6.0, 6.5, 0.6, 0.1])
    rashes = album.add("rash", [4.0 + i / 4 for i in range(12)])
    held = album.add("val", [-2.0, 0.9])
    suite = Suite("made", {"g": gallery}, (Task("shop", "g", asked),), odd, (*rays, *rashes), held)
    found = routing(suite, album.embedded, device, policy(("code_margin = 0.0", "code_margin = 0.5")))
    xray = found["kinds"]["xray"]
    # Codes lose 1, the line is at -0.5: 0.6 becomes -0.4 and is seen, 0.1 becomes -0.9 and is missed.
    assert (xray["missed"].value, xray["missed"].n) == (pytest.approx(1 / 6), 6)
    assert found["kinds"]["rash"]["missed"].value == 0
    assert found["shift"] == {"xray": -1.0, "rash": -1.0} or found["shift"] == {"rash": -1.0, "xray": -1.0}
    # 0.7 becomes -0.3: taken only because of the margin.
    shop = found["taken"]["shop"]
    assert (shop["taken"].value, shop["taken without the margin"].value) == (2 / 8, 1 / 8)
    assert found["taken"]["strangers"]["taken"].value == 1 / 4
    margins = found["margins"]
    assert [margins[each]["taken of val (val)"].value for each in ("0", "0.25", "2")] == [0, 0.5, 0.5]
    text = "\n".join(routing_lines(_plain(found)))
    assert "| xray | 6 | 6 | 16.7" in text and "xray by -1.00" in text and NEVER_SEEN in text


def test_a_subjects_photographs_are_left_out_together_and_it_is_missed_when_one_of_them_is() -> None:
    album = Album()
    one, other = album.add("xray", [9.0, 9.0, 9.0], "patient-1"), album.add("xray", [9.0, 9.0], "patient-2")
    alone = album.add("xray", [9.0] * 20)
    photos = (*one, *other, *alone)
    vectors = np.stack([album.embedded[photo.path].int8 for photo in photos])
    subjects = Subjects(photos, vectors, vectors)
    assert len(set(subjects.folds[:3].tolist())) == len(set(subjects.folds[3:5].tolist())) == 1
    assert len(set(subjects.folds.tolist())) > 1 and len(set(subjects.names.tolist())) == 22
    scores = np.ones(len(photos), np.float32)
    scores[[0, 1, 7]] = 0.0
    every = np.ones(len(photos), dtype=bool)
    row = module._missed(subjects, every, {"shipped": scores, "left out": scores, "kind": scores}, HEAD, 0.0)
    assert (row["missed"].value, row["missed"].n) == (3 / 25, 25)
    assert (row["subjects with a miss"].value, row["subjects with a miss"].n) == (2 / 22, 22)


def test_a_head_that_left_a_fold_out_never_saw_it() -> None:
    album = Album()
    photos = album.add("xray", [6.0 + i / 10 for i in range(30)])
    vectors = np.stack([album.embedded[photo.path].int8 for photo in photos])
    subjects = Subjects(photos, vectors, vectors)
    gallery = album.add("shop", [-5.0 + i / 10 for i in range(40)])
    lesson = module.lesson_of(subjects, gallery, np.stack([album.embedded[photo.path].int8 for photo in gallery]))
    asked: list[np.ndarray] = []
    honest = type(lesson).head

    def watched(lesson, chosen, shrinkage):
        asked.append(chosen)
        return honest(lesson, chosen, shrinkage)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(lesson), "head", watched)
        scores = module.left_out(lesson, subjects, 0.1)
    assert sum((~chosen).sum() for chosen in asked) == len(photos) and all(chosen.any() for chosen in asked)
    assert all(set(subjects.folds[chosen]).isdisjoint(subjects.folds[~chosen]) for chosen in asked)
    assert scores.min() > 0.5


def test_nothing_is_said_without_a_head_or_without_photographs() -> None:
    suite = Suite("made", {}, (), ())
    assert routing(suite, {}, SimpleNamespace(heads=None)) == {} and routing_lines({}) == []
    with_head = SimpleNamespace(heads=SimpleNamespace(sensitive=HEAD))
    assert routing(suite, {}, with_head) == {}
