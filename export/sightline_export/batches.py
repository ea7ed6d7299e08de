"""What one training batch is made of: photographs stratified by source and class, their partners and look-alikes.

Every batch depends on (seed, step) alone, so an interrupted run goes on as if nothing had happened.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from sightline_export.augment import augment
from sightline_export.convert_onnx import open_session, run_rows
from sightline_export.recipe import Batches, Strength, Training

Rows = NDArray[np.int64]
LOOK_ALIKES = 5


@dataclass(frozen=True)
class TrainingSet:
    """What the student learns from, all in the same order: `n` photographs of which some have labels (else -1).

    `targets` `(n, d) float32` are the teacher's embeddings, `groups` number the sources, `studio` marks studio pictures,
    `views` the teacher's mixed views.
    """

    images: list[Image.Image]
    targets: NDArray[np.float32]
    items: Rows
    categories: Rows
    groups: Rows
    outside: NDArray[np.bool_]
    studio: NDArray[np.bool_]
    views: NDArray[np.bool_]


class Sampler:
    """Draws the rows of a batch."""

    def __init__(self, data: TrainingSet, settings: Training, batches: Batches) -> None:
        self.data, self.settings, self.batches = data, settings, batches
        self.inside = np.flatnonzero(~data.outside & ~data.views)
        self.outside, self.views = np.flatnonzero(data.outside), np.flatnonzero(data.views)
        self.chance = photograph_chances(data.items[self.inside], data.groups[self.inside], batches)
        self.members: dict[int, Rows] = {
            int(item): np.flatnonzero(data.items == item) for item in np.unique(data.items) if item >= 0
        }
        self.alike = look_alikes(data) if batches.hard_negatives > 0 else {}

    def draw(self, rng: np.random.Generator) -> Rows:
        """Return one batch's rows `(batch,)`.

        `mixed_views` are mixed views; of the photographs, `outside_share` come from outside the catalogue. Of the rest
        `pairs` is the share of photographs that bring a partner, `hard_negatives` the share that bring a look-alike; the
        others stand alone.
        """
        views = round(self.settings.batch * self.batches.mixed_views) if len(self.views) else 0
        total = self.settings.batch - views
        outside = round(total * self.settings.outside_share) if len(self.outside) else 0
        inside = total - outside
        alone = round(inside / (1 + self.batches.pairs + self.batches.hard_negatives))
        rows: list[int] = rng.choice(self.inside, max(1, alone), p=self.chance).tolist()
        paired = round(len(rows) * self.batches.pairs)
        rows += [self.partner(row, rng) for row in rows[:paired]]
        rows += [self.look_alike(row, rng) for row in rows[: inside - len(rows)]]
        if len(rows) < inside:  # rounding
            rows += rng.choice(self.inside, inside - len(rows), p=self.chance).tolist()
        parts = [np.asarray(rows[:inside], dtype=np.int64)]
        parts += [rng.choice(self.outside, outside)] if outside else []
        parts += [rng.choice(self.views, views)] if views else []
        return np.concatenate(parts)

    def partner(self, row: int, rng: np.random.Generator) -> int:
        """Return another photograph of the same item: from the other side (studio or phone) where there is one."""
        same = self.members.get(int(self.data.items[row]), np.array([row]))
        across = same[self.data.studio[same] != self.data.studio[row]]
        others = across if len(across) else same[same != row]
        return int(rng.choice(others)) if len(others) else row

    def look_alike(self, row: int, rng: np.random.Generator) -> int:
        """Return a photograph of another item that the teacher finds most like this one."""
        alike = self.alike.get(row)
        return row if alike is None else int(rng.choice(alike))


def photograph_chances(items: Rows, groups: Rows, batches: Batches) -> NDArray[np.float64]:
    """Return each photograph's chance `(n,)`: sources by the root of their size, classes by their size up to a cap.

    No source gets more than `domain_cap` (where there are several). A photograph without a label counts as its own class.
    """
    chance = np.empty(len(items))
    _, numbers, sizes = np.unique(items, return_inverse=True, return_counts=True)
    capped = np.minimum(sizes, batches.class_cap) if batches.class_cap else sizes
    inside = np.where(items < 0, 1.0, (capped / sizes)[numbers])
    names, counts = np.unique(groups, return_counts=True)
    for name, share in zip(names, capped_shares(np.sqrt(counts), batches.domain_cap), strict=True):
        here = groups == name
        chance[here] = inside[here] / inside[here].sum() * share
    return np.asarray(chance / chance.sum(), dtype=np.float64)


def capped_shares(weights: NDArray[np.float64], cap: float) -> NDArray[np.float64]:
    """Return shares in proportion to `weights` `(s,)`, none above `cap`; what is cut goes to the others."""
    shares: NDArray[np.float64] = weights / weights.sum()
    if len(shares) * cap <= 1:
        return np.full(len(shares), 1 / len(shares))
    for _ in range(len(shares)):
        over = shares > cap + 1e-12
        if not over.any():
            break
        free = ~(shares >= cap)
        shares[free] *= 1 + (shares[over] - cap).sum() / shares[free].sum()
        shares[over] = cap
    return shares


def look_alikes(data: TrainingSet) -> dict[int, Rows]:
    """Return, for every labelled row, the LOOK_ALIKES rows of other items nearest to it in the teacher's eyes."""
    labelled = np.flatnonzero(data.items >= 0)
    targets, items = data.targets[labelled], data.items[labelled]
    found: dict[int, Rows] = {}
    for start in range(0, len(labelled), 512):
        part = slice(start, start + 512)
        scores = targets[part] @ targets.T
        scores[items[part, None] == items[None, :]] = -np.inf
        best = np.argpartition(-scores, min(LOOK_ALIKES, scores.shape[1] - 1), axis=1)[:, :LOOK_ALIKES]
        for row, others, likeness in zip(labelled[part], best, scores, strict=True):
            other = others[np.isfinite(likeness[others])]
            if len(other):
                found[int(row)] = labelled[other]
    return found


class AugmentedBatches(Dataset[tuple[Tensor, Tensor]]):
    """Batch `step`: augmented photographs, or what the frozen blocks make of them, and the photographs' rows.

    With `lower` (an ONNX file of the frozen blocks) they run here, in the loading process; without, the batch is
    `(batch, size, size, 3) uint8` pixels.
    """

    def __init__(
        self,
        data: TrainingSet,
        sampler: Sampler,
        lower: bytes | None,
        size: int,
        strength: Strength,
        seed: int,
        steps: int,
    ) -> None:
        self.data, self.sampler, self.lower, self.size = data, sampler, lower, size
        self.strength, self.seed, self.steps = strength, seed, steps
        # The teacher has embedded a mixed view as it is: the camera may change it, a crop would show something else.
        self.gentle = dataclasses.replace(strength, crop_area=(1.0, 1.0), warp=0.0, occlusion=0.0, background=0.0)
        self._session: Any = None

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((self.seed, step))
        rows = self.sampler.draw(rng)
        views = [self._view(int(row), rng) for row in rows]
        if self.lower is None:
            return torch.from_numpy(np.stack(views)), torch.from_numpy(rows)
        if self._session is None:  # opened here: a session does not survive the fork into a worker
            self._session = open_session(self.lower, threads=1)
        return torch.from_numpy(run_rows(self._session, views)), torch.from_numpy(rows)

    def _view(self, row: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        if self.data.views[row]:
            return augment(self.data.images[row], self.size, rng, self.gentle)
        other = self.data.images[int(rng.integers(len(self.data.images)))]
        return augment(self.data.images[row], self.size, rng, self.strength, background=other)
