"""Found, unsure or not found: what the cosine of the nearest item says, by the bundle's thresholds.

A reason is a stable code, a colon, and words for people. Apps may match on the codes; the words may change.
"""

from __future__ import annotations

from collections.abc import Mapping

from sightline_shared.protocol import Decision

NO_MATCH = "no_visual_match"
NOT_SURE = "not_sure"
EMPTY = "catalogue_empty"
FILTERED = "filter_passes_nothing"


def decide(nearest: float, thresholds: Mapping[str, float]) -> tuple[Decision, tuple[str, ...]]:
    """Return the decision and its reasons for the cosine `nearest`; `thresholds` is the manifest's `decision`."""
    if nearest < thresholds["not_found_max_score"]:
        reason = f"the nearest item is too far: cosine {nearest:.3f} < {thresholds['not_found_max_score']:.3f}"
        return Decision.NOT_FOUND, (f"{NO_MATCH}: {reason}",)
    if nearest < thresholds["found_min_score"]:
        reason = f"the nearest item is not close: cosine {nearest:.3f} < {thresholds['found_min_score']:.3f}"
        return Decision.UNSURE, (f"{NOT_SURE}: {reason}",)
    return Decision.FOUND, ()
