"""Late fusion, the ranking stage "text": what a query says against what the found items say of themselves.

Measured on groceries with a sentence for each variant ('sightline bench quality', "text with the picture"): the items' words
and their meaning together bring the wanted variant first far more often than the picture alone, and a text that is about
nothing costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from sightline_cloud.fusion.tower import TextTower, Vector
from sightline_cloud.fusion.words import item_text, word_shares
from sightline_cloud.rank.candidate import Candidate, order
from sightline_cloud.rank.context import Context
from sightline_cloud.rank.stages import Cost
from sightline_shared.budget import Budget

KEYS = ("title", "name", "category", "brand", "colour", "description")
# On the validation photographs larger weights bring the named variant first no more often, though another variant than the
# pictured one twice as often ("this, in red"), and they harm when a text shares no word with the item that it means.
WORDS, MEANING = 0.3, 0.2
# What is left for the stages after this one and for the answer: texts are read no longer than that.
RESERVE_MS = 20.0
# What new item texts may take of one query: thirty short ones need 35 ms, once. They stay known, so the next query goes on.
MOST_MS = 60.0
WORDS_ONLY = "text: it counts by its words alone, this service has no text tower"
NO_TIME = "text: it counts by its words alone, the time did not suffice for its meaning"
UNREADABLE = "text was not used: it has no word that can be read"


class Text:
    """Adds to each candidate what its own texts have of the query's, and sorts anew.

    The bonus is `words` times the share of the words that it has, plus `meaning` times the cosine of both texts' vectors,
    where that is above 0. Without a `tower` the words count alone.
    """

    name, cost = "text", Cost.TEXT

    def __init__(
        self,
        tower: TextTower | None = None,
        *,
        keys: Sequence[str] = KEYS,
        words: float = WORDS,
        meaning: float = MEANING,
    ) -> None:
        self._tower, self._keys = tower, tuple(keys)
        self._words, self._meaning = words, meaning

    def apply(self, candidates: Sequence[Candidate], context: Context) -> Sequence[Candidate]:
        items = [item_text(candidate.metadata, self._keys) for candidate in candidates]
        if not any(char.isalnum() for char in context.text):
            context.notes.append(UNREADABLE)
            return candidates
        shares = word_shares(context.text, items)
        cosines = self._cosines(items, context)
        paid = [
            one.with_bonus(one.bonus + self._words * share + self._meaning * max(0.0, cosine))
            for one, share, cosine in zip(candidates, shares, cosines, strict=True)
        ]
        return sorted(paid, key=order)

    def _cosines(self, items: Sequence[str], context: Context) -> list[float]:
        """Return how near each item's text is to the query's; zeros where that cannot be told of all alike."""
        none = [0.0] * len(items)
        if self._tower is None:
            context.notes.append(WORDS_ONLY)
            return none
        if not self._meaning:
            return none
        found = _vectors(self._tower, context.text, items, context.budget)
        if found is None:
            context.notes.append(NO_TIME)
            return none
        asked, vectors = found
        if asked is None:
            return none
        return [0.0 if vector is None else float(asked @ vector) for vector in vectors]


def _vectors(
    tower: TextTower, text: str, items: Sequence[str], budget: Budget
) -> tuple[Vector | None, list[Vector | None]] | None:
    """Return the vectors of the query's text and of the items'; None when the time did not suffice for all.

    What was read by then stays known, so that the next query with these items is quicker.
    """
    vectors: list[Vector | None] = []
    stop_ms = max(RESERVE_MS, budget.left_ms - MOST_MS)
    if budget.left_ms < RESERVE_MS:
        return None
    asked = tower.asked(text)
    for item in items:
        if budget.left_ms < stop_ms:
            return None
        vectors.append(tower.of_item(item) if item else None)
    return asked, vectors
