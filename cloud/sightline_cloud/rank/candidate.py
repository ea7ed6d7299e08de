"""One item that a search found, with what the ranking stages need of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Candidate(NamedTuple):
    """An item and how near it is: `score` is the cosine in [-1, 1] of its stored vector with the decoded query.

    `code_index` is the query code that found it, `code` its own codec bytes. `bonus` is what its metadata earned, in
    cosine units; it moves the item in the ranking and never changes the score that is answered.

    A tuple, since every query makes some sixty of them: a frozen dataclass takes four times as long to make.
    """

    pk: int
    id: str
    score: float
    code_index: int
    metadata: Mapping[str, Any]
    code: bytes
    bonus: float = 0.0

    @property
    def relevance(self) -> float:
        return self.score + self.bonus

    def with_bonus(self, bonus: float) -> Candidate:
        """Return the candidate with another bonus; `_replace` takes twice as long."""
        return Candidate(self.pk, self.id, self.score, self.code_index, self.metadata, self.code, bonus)


def order(candidate: Candidate) -> tuple[float, float, int]:
    """Return the sorting key of a ranking: the most relevant first, then the nearest, then the one added first."""
    return -(candidate.score + candidate.bonus), -candidate.score, candidate.pk
