"""Applies a stretch of the catalogue's change log to one tenant's index."""

from __future__ import annotations

from collections.abc import Sequence

from sightline_cloud import crash
from sightline_cloud.catalog.feed import Change, Feed, Rows
from sightline_cloud.index.base import Index

FETCH_ROWS = 1000


def apply(index: Index, changes: Sequence[Change], feed: Feed) -> None:
    """Bring `index` to where `changes`, in order, lead; doing it again does no harm. Raises StoreError.

    Rows come as they are in the catalogue now: one that was removed meanwhile is not there, and its removal comes
    later in the log.
    """
    last = {change.pk: change.op for change in changes}
    removed = {pk for pk, op in last.items() if op == "remove"}
    added = {change.pk for change in changes if change.op == "add"} - removed
    updated = set(last) - removed - added
    try:
        # All before the first is taken in: an index that took in half of them would do so again at every new attempt.
        new, changed = (_rows(feed, sorted(pks)) for pks in (added, updated))
        for take_in, several in ((index.add, new), (index.update, changed)):
            for rows in several:
                take_in(rows)
                crash.point("catch-up: taken in")
    finally:
        # Last, so that an item that is replaced is never missing; and also when an added row cannot be read.
        if removed:
            index.remove(sorted(removed))
            crash.point("catch-up: removed")


def _rows(feed: Feed, pks: Sequence[int]) -> list[Rows]:
    return [feed.rows(pks[start : start + FETCH_ROWS]) for start in range(0, len(pks), FETCH_ROWS)]
