"""What the service's sensitive routing does to photographs, which it sees through their decoded codes only.

Three heads are asked. The shipped one, which learned from these very kinds: what it misses is resubstitution. The same kind of
head fitted again here, without augmented views, with the subjects (patients) of each fold left out: what it misses stands for
new subjects of known kinds. And one fitted without a kind at all: what becomes of a kind that nobody thought of.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_bench.packs import Photo
from sightline_bench.quality.embeddings import Embedded
from sightline_bench.quality.measure import sent
from sightline_bench.quality.tasks import Suite
from sightline_cloud.policy.document import Policy
from sightline_cloud.policy.head import lowered
from sightline_cloud.policy.read import shipped_policy
from sightline_edge.device import Device
from sightline_export.bounds import share_figure
from sightline_export.evaluate import Figure
from sightline_export.fisher import moments
from sightline_export.sensitive_head import FOLDS, Lesson
from sightline_shared.heads import Sensitive

Vectors = NDArray[np.float32]
Flags = NDArray[np.bool_]
# Lowerings of the threshold that a policy could choose, in logits.
MARGINS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)


@dataclass(frozen=True, eq=False)
class Subjects:
    """n sensitive photographs: embeddings `floats` and decoded codes `coded`, both `(n, d)`.

    Where no subject is named, each photograph counts as one of its own.
    """

    photos: tuple[Photo, ...]
    floats: Vectors
    coded: Vectors

    @property
    def kinds(self) -> NDArray[np.str_]:
        return np.array([photo.coarse for photo in self.photos])

    @property
    def names(self) -> NDArray[np.str_]:
        return np.array([photo.instance or photo.path.name for photo in self.photos])

    @property
    def folds(self) -> NDArray[np.int64]:
        """The fold of each photograph, the same for all of one subject."""
        return np.array([hashlib.sha256(name.encode()).digest()[0] % FOLDS for name in self.names.tolist()])


def routing(
    suite: Suite, embedded: dict[Path, Embedded], device: Device, policy: Policy | None = None
) -> dict[str, Any]:
    """Return what `policy`, by default the shipped one, misses by kind and takes of others; nothing without a head or photographs."""
    head = device.heads.sensitive if device.heads else None
    if head is None or not suite.sensitive:
        return {}
    policy = policy or shipped_policy()

    def coded(photos: tuple[Photo, ...]) -> Vectors:
        return sent(np.stack([embedded[photo.path].int8 for photo in photos]), device)

    floats = np.stack([embedded[photo.path].int8 for photo in suite.sensitive])
    subjects = Subjects(suite.sensitive, floats, coded(suite.sensitive))
    others = next(iter(suite.galleries.values()))
    lesson = lesson_of(subjects, others, np.stack([embedded[photo.path].int8 for photo in others]))
    shrinkage = float(device.bundle.manifest.metrics["sensitive.shrinkage"]["value"])
    blind, unheard = left_out(lesson, subjects, shrinkage), kind_left_out(lesson, subjects, shrinkage)
    shops = {task.name: task.queries for task in suite.tasks if task.name not in ("packaged", "studio")}
    asked = {name: head.scores(coded(photos)) for name, photos in {**shops, "strangers": suite.strangers}.items()}
    held: dict[str, Vectors] = {}
    for domain in sorted({photo.domain for photo in suite.validation}):
        held[domain] = head.scores(coded(tuple(photo for photo in suite.validation if photo.domain == domain)))
    margin, own = policy.head.code_margin, head.scores(subjects.coded)
    return {
        "policy": policy.version,
        "margin": margin,
        "shift": {kind: shift(subjects, head, kind) for kind in np.unique(subjects.kinds).tolist()},
        "kinds": {
            kind: _missed(
                subjects, subjects.kinds == kind, {"shipped": own, "left out": blind, "kind": unheard}, head, margin
            )
            for kind in np.unique(subjects.kinds).tolist()
        },
        "taken": {
            name: {
                "taken": share_figure(scores >= lowered(head.unsure_above, margin), name),
                "taken without the margin": share_figure(scores >= head.unsure_above, name),
            }
            for name, scores in asked.items()
        },
        "margins": {
            f"{each:g}": {
                "missed": share_figure(blind < lowered(head.unsure_above, each), "subjects left out"),
                **{
                    f"taken of {name} (val)": share_figure(scores >= lowered(head.unsure_above, each), name)
                    for name, scores in held.items()
                },
            }
            for each in MARGINS
        },
    }


def lesson_of(subjects: Subjects, others: tuple[Photo, ...], vectors: Vectors) -> Lesson:
    """Return what heads learn from here: the photographs as they are, kinds and domains weighing the same each."""
    domains = np.array([photo.domain for photo in others])
    none = np.empty((0, vectors.shape[1]), np.float32)
    return Lesson(
        subjects.floats, (none,) * len(subjects.photos), subjects.kinds, subjects.folds, moments(vectors, domains)
    )


def left_out(lesson: Lesson, subjects: Subjects, shrinkage: float) -> Vectors:
    """Return each decoded code's score `(n,)` by the head that did not learn from its subject."""
    scores = np.empty(len(subjects.photos), np.float32)
    for fold in np.unique(lesson.folds):
        out = lesson.folds == fold
        scores[out] = _squashed(lesson.head(~out, shrinkage)(subjects.coded[out]))
    return scores


def kind_left_out(lesson: Lesson, subjects: Subjects, shrinkage: float) -> Vectors:
    """Return each decoded code's score `(n,)` by the head that never saw its kind; 1 where there is only one kind."""
    scores = np.ones(len(subjects.photos), np.float32)
    for kind in np.unique(lesson.kinds) if len(np.unique(lesson.kinds)) > 1 else ():
        out = lesson.kinds == kind
        scores[out] = _squashed(lesson.head(~out, shrinkage)(subjects.coded[out]))
    return scores


def shift(subjects: Subjects, head: Sensitive, kind: str) -> float:
    """Return by how many logits the code moves the shipped head's score of a kind, on average."""
    chosen = subjects.kinds == kind
    moved = (subjects.coded[chosen] - subjects.floats[chosen]) @ head.weight
    return round(float(moved.mean()), 3)


def _missed(
    subjects: Subjects, chosen: Flags, scores: dict[str, Vectors], head: Sensitive, margin: float
) -> dict[str, Figure]:
    """Return the shares missed of the photographs `chosen`, and of their subjects those with one photograph or more missed."""
    line = lowered(head.unsure_above, margin)
    names = subjects.names[chosen]
    missed = scores["left out"][chosen] < line
    by_subject = np.array([missed[names == name].any() for name in np.unique(names)])
    return {
        "missed": share_figure(scores["shipped"][chosen] < line, "shipped head, which learned from these"),
        "missed, subjects left out": share_figure(missed, "photographs"),
        "the same without the margin": share_figure(scores["left out"][chosen] < head.unsure_above, "photographs"),
        "subjects with a miss": share_figure(by_subject, "subjects"),
        "missed, kind left out": share_figure(scores["kind"][chosen] < line, "photographs"),
    }


def _squashed(logits: Vectors) -> Vectors:
    return np.asarray([1 / (1 + math.exp(-min(60.0, max(-60.0, each)))) for each in logits.tolist()], np.float32)
