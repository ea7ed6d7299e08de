"""Questions whose right answer is known, put to a catalogue: answerable ones, near ones and strangers.

Answerable are the test queries. Near ones are the same queries asked of the catalogue without their class, so that something
else of the same shelf is the nearest. Strangers are photographs of what no catalogue here holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline_bench.packs import Photo
from sightline_bench.quality.embeddings import Embedded
from sightline_bench.quality.measure import sent
from sightline_bench.quality.tasks import Suite
from sightline_edge.device import Device
from sightline_shared.confidence_fit import Example
from sightline_shared.evidence import FETCHED, first_place, weigh

Vectors = NDArray[np.float32]

# How the catalogues of the suites were photographed.
STYLES = {"shop": "photographs", "studio": "packshots"}
# A fifth of the classes at a time is taken out of the catalogue.
FOLDS = 5


@dataclass(frozen=True, eq=False)
class Asker:
    """The device's side of every question: codes as the service decodes them, gate scores as they travel.

    `pocket` asks a pocket index that holds the same gallery: its items are codes, the query is none, and the nearest is first.
    """

    device: Device
    embedded: dict[Path, Embedded]
    pocket: bool = False

    def ask(self, queries: tuple[Photo, ...], gallery: tuple[Photo, ...], kind: str, style: str) -> Iterator[Example]:
        """Yield the evidence for the first match of every query, in the group that is the query's domain or kind."""
        vectors = np.stack([self.embedded[photo.path].int8 for photo in queries])
        held = np.stack([self.embedded[photo.path].int8 for photo in gallery])
        decoded, heads = vectors if self.pocket else sent(vectors, self.device), self.device.heads
        held = sent(held, self.device) if self.pocket else held
        cosines = decoded @ held.T
        best = np.argsort(-cosines, axis=1, kind="stable")[:, :FETCHED]
        gates = np.round(255 * np.clip(self.device.gate.scores(vectors), 0, 1)) / 255
        probabilities = heads.semantic.probabilities(decoded) if heads else [None] * len(queries)
        labels = heads.semantic.labels if heads else ()
        for place, photo in enumerate(queries):
            near = [gallery[row] for row in best[place].tolist()]
            found, categories = cosines[place, best[place]].tolist(), [one.coarse for one in near]
            first = 0 if self.pocket else first_place(found, categories, probabilities[place], labels)
            evidence = weigh(
                found,
                categories,
                first=first,
                gate=float(gates[place]),
                probabilities=probabilities[place],
                labels=labels,
            )
            right = kind == "known" and shows(near[first]) == shows(photo)
            yield Example(evidence, right, kind, style, photo.coarse if kind == "far" else photo.domain)

    def ask_without_class(
        self, queries: tuple[Photo, ...], gallery: tuple[Photo, ...], style: str, seed: int = 0
    ) -> Iterator[Example]:
        """Yield what every query finds when its class, and a fifth of the others, are not in the gallery."""
        classes = np.random.default_rng(seed).permutation(sorted({shows(photo) for photo in queries}))
        for fold in range(FOLDS):
            out = set(classes[fold::FOLDS].tolist())
            asking = tuple(photo for photo in queries if shows(photo) in out)
            left = tuple(photo for photo in gallery if shows(photo) not in out)
            if asking and left:
                yield from self.ask(asking, left, "near", style)


def shows(photo: Photo) -> str:
    """Return what a photograph shows: equal for the query and its right answers."""
    return f"{photo.domain}/{photo.fine}"


def ask_everything(suite: Suite, asker: Asker) -> list[Example]:
    """Return every question's evidence, in the same order whoever asks."""
    found: list[Example] = []
    for task in suite.tasks:
        if task.label != "fine":
            continue
        gallery, style = suite.galleries[task.gallery], STYLES[task.gallery]
        found += asker.ask(task.queries, gallery, "known", style)
        found += asker.ask_without_class(task.queries, gallery, style)
    for name in dict.fromkeys(task.gallery for task in suite.tasks):
        found += asker.ask(suite.strangers, suite.galleries[name], "far", STYLES[name])
    return found


def ask_validation(suite: Suite, embedded: dict[Path, Embedded], device: Device) -> list[Example]:
    """Return the evidence of the validation photographs of what each catalogue holds, and of the same without their class."""
    asker = Asker(device, embedded)
    found: list[Example] = []
    for name, gallery in suite.galleries.items():
        held = {shows(photo) for photo in gallery}
        queries = tuple(photo for photo in suite.validation if shows(photo) in held)
        if queries:
            found += asker.ask(queries, gallery, "known", STYLES[name])
            found += asker.ask_without_class(queries, gallery, STYLES[name])
    return found
