"""Applies a stretch of the catalogue's change log to one tenant's index."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sightline_cloud import crash
from sightline_cloud.catalog.feed import Change, Feed, Rows
from sightline_cloud.index.base import Index
from sightline_cloud.logs import warn
from sightline_shared.errors import StoreCorrupt

FETCH_ROWS = 1000


def apply(index: Index, changes: Sequence[Change], feed: Feed, damaged: Collection[int] = ()) -> frozenset[int]:
    """Bring `index` to where `changes`, in order, lead; doing it again does no harm. Raises StoreError.

    Rows come as they are in the catalogue now: one that was removed meanwhile is not there, and its removal comes
    later in the log. One that is damaged holds up no other: it does not answer, and its pk is among those that are returned.
    `damaged` are those of the call before, which are tried again.
    """
    last = {change.pk: change.op for change in changes}
    removed = {pk for pk, op in last.items() if op == "remove"}
    added = ({change.pk for change in changes if change.op == "add"} | set(damaged)) - removed
    updated = set(last) - removed - added
    reader = _Reader(feed, damaged)
    try:
        # All before the first is taken in: an index that took in half of them would do so again at every new attempt.
        new, changed = (reader.rows(sorted(pks)) for pks in (added, updated))
        for take_in, several in ((index.add, new), (index.update, changed)):
            for rows in several:
                take_in(rows)
                crash.point("catch-up: taken in")
    finally:
        # Last, so that an item that is replaced is never missing; and also when an added row cannot be read.
        if gone := removed | reader.damaged:
            index.remove(sorted(gone))
            crash.point("catch-up: removed")
    return frozenset(reader.damaged)


class _Reader:
    """Reads rows from the catalogue, and finds out which are damaged."""

    def __init__(self, feed: Feed, known: Collection[int]) -> None:
        """`known`: damaged ones that have been told of."""
        self._feed, self._known = feed, known
        self.damaged: set[int] = set()

    def rows(self, pks: Sequence[int]) -> list[Rows]:
        """Return those of `pks` that are there and as they were stored, so many at once."""
        pieces = [pks[start : start + FETCH_ROWS] for start in range(0, len(pks), FETCH_ROWS)]
        return [rows for piece in pieces for rows in self._sound(piece)]

    def _sound(self, pks: Sequence[int]) -> list[Rows]:
        try:
            return [self._feed.rows(pks)]
        except StoreCorrupt as error:
            if len(pks) > 1:
                half = len(pks) // 2
                return self._sound(pks[:half]) + self._sound(pks[half:])
            self.damaged.update(pks)
            if not set(pks) <= set(self._known):
                warn("row_damaged", pk=pks[0], reason=error.message)
            return []
