"""The ranking: a short ordered list of stages between what the index found and what is answered.

    candidates -> metadata (soft signals) -> duplicates -> videos -> diversity -> the first k (build.py)

There is no stage that scores again from stored vectors: every index does that already, and a candidate's score is the
cosine of its stored vector.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Protocol

from sightline_cloud.pressure import Level
from sightline_cloud.rank.candidate import Candidate, order
from sightline_cloud.rank.context import Context
from sightline_shared.budget import Budget

# Ten times what the stages take; a thread that loses its turn waits as long (the interpreter's switch interval).
MIN_LEFT_MS = 5.0
# Of a gallery with many repeated pictures (the packs' groceries), 2 % of answers then lack some of their k items. Reading
# a candidate takes 10 us of CPU, three times what the default stages do with it.
SLACK = 0.5


class Cost(enum.Enum):
    """What a stage reads: metadata takes next to nothing and is never left out; vectors are decoded and compared."""

    METADATA = "metadata"
    VECTORS = "vectors"


class Stage(Protocol):
    """One step: takes candidates in their order and returns some or all of them in a new one, adding none."""

    @property
    def name(self) -> str: ...

    @property
    def cost(self) -> Cost: ...

    def apply(self, candidates: Sequence[Candidate], context: Context) -> Sequence[Candidate]: ...


@dataclass(frozen=True)
class Ranked:
    """The answer's items, at most k; the stages that ran and those left out; `notes` for the answer's reasons."""

    candidates: tuple[Candidate, ...]
    ran: tuple[str, ...]
    skipped: tuple[str, ...]
    notes: tuple[str, ...]


class Ranking:
    """Stages in the order in which they run. Safe between threads."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = tuple(stages)

    def fetch(self, k: int, level: Level = Level.FULL) -> int:
        """Return how many hits to ask the index for: stages drop some and choose among the others."""
        if not self.stages or level >= Level.NO_DIVERSITY:
            return k
        return k + ceil(SLACK * k)

    def run(
        self, candidates: Sequence[Candidate], context: Context, budget: Budget, level: Level = Level.FULL
    ) -> Ranked:
        """Return the best `context.k` of `candidates` after every stage, each timed as "rank.<name>".

        Equal candidates are in ascending order of pk. From NO_DIVERSITY on, or with little time left, stages that need
        vectors are skipped, and `skipped` says so.
        """
        ranked: Sequence[Candidate] = sorted(candidates, key=order)
        ran: list[str] = []
        skipped: list[str] = []
        for stage in self.stages:
            short = level >= Level.NO_DIVERSITY or budget.left_ms < MIN_LEFT_MS
            if short and stage.cost is Cost.VECTORS:
                skipped.append(stage.name)
                continue
            with budget.stage(f"rank.{stage.name}"):
                ranked = stage.apply(ranked, context)
            ran.append(stage.name)
        return Ranked(tuple(ranked[: context.k]), tuple(ran), tuple(skipped), tuple(context.notes))
