"""The ranking: a short ordered list of stages between what the index found and what is answered.

    candidates -> metadata (soft signals) -> text -> duplicates -> videos -> diversity -> the first k (build.py)

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
TEXT_LEFT_OUT = "text was not used: the service is under pressure, or the time did not suffice"
TEXT_UNKNOWN = "text was not used: this service does not rank by text"


class Cost(enum.Enum):
    """What a stage reads: metadata takes next to nothing and is never left out; vectors are decoded and compared; texts go
    through a model, and only where the query has one.
    """

    METADATA = "metadata"
    VECTORS = "vectors"
    TEXT = "text"

    def left_out(self, level: Level, left_ms: float) -> bool:
        """Return whether such a stage is left out under pressure, or with little time left."""
        lowest = {Cost.TEXT: Level.NO_EXTRAS, Cost.VECTORS: Level.NO_DIVERSITY}.get(self)
        return lowest is not None and (level >= lowest or left_ms < MIN_LEFT_MS)


class Stage(Protocol):
    """One step: takes candidates in their order and returns some or all of them in a new one, adding none."""

    @property
    def name(self) -> str: ...

    @property
    def cost(self) -> Cost: ...

    def apply(self, candidates: Sequence[Candidate], context: Context) -> Sequence[Candidate]: ...


@dataclass(frozen=True)
class Ranked:
    """The answer's items, at most k; the stages that ran and those left out; `notes` for the answer's reasons.

    `pictured` is what came first before the query's text had its say; None where it had none.
    """

    candidates: tuple[Candidate, ...]
    ran: tuple[str, ...]
    skipped: tuple[str, ...]
    notes: tuple[str, ...]
    pictured: Candidate | None = None


class Ranking:
    """Stages in the order in which they run. Safe between threads."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = tuple(stages)
        self._reads_text = any(stage.cost is Cost.TEXT for stage in stages)

    def fetch(self, k: int, level: Level = Level.FULL) -> int:
        """Return how many hits to ask the index for: stages drop some and choose among the others."""
        if not self.stages or level >= Level.NO_DIVERSITY:
            return k
        return k + ceil(SLACK * k)

    def run(
        self, candidates: Sequence[Candidate], context: Context, budget: Budget, level: Level = Level.FULL
    ) -> Ranked:
        """Return the best `context.k` of `candidates` after every stage, each timed as "rank.<name>".

        Equal candidates are in ascending order of pk. Under pressure, or with little time left, stages that read more than
        metadata are skipped, and `skipped` says so.
        """
        ranked: Sequence[Candidate] = sorted(candidates, key=order)
        ran: list[str] = []
        skipped: list[str] = []
        pictured: Candidate | None = None
        if context.text and not self._reads_text:
            context.notes.append(TEXT_UNKNOWN)
        for stage in self.stages:
            if stage.cost is Cost.TEXT and not context.text:
                continue
            if stage.cost.left_out(level, budget.left_ms):
                skipped.append(stage.name)
                context.notes += [TEXT_LEFT_OUT] * (stage.cost is Cost.TEXT)
                continue
            if stage.cost is Cost.TEXT:
                pictured = ranked[0] if ranked else None
            with budget.stage(f"rank.{stage.name}"):
                ranked = stage.apply(ranked, context)
            ran.append(stage.name)
        return Ranked(tuple(ranked[: context.k]), tuple(ran), tuple(skipped), tuple(context.notes), pictured)
