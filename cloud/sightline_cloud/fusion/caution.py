"""What a text may do to the decision: make it more careful, never less.

Whether the catalogue has the thing is for the picture to say. A text chooses among what was found: it never makes "found" of
what the picture alone would not find, and what it chooses is "found" only if that looks right on its own, too.
"""

from __future__ import annotations

import dataclasses

from sightline_shared.protocol import Decision
from sightline_shared.verdict import Verdict

UNLIKE = "text: what it asks for looks little like the picture"


def careful(pictured: Verdict, chosen: Verdict) -> Verdict:
    """Return the verdict on the item that a text chose, given the one on what the picture alone would have answered."""
    if pictured.decision is Decision.NOT_FOUND:
        return pictured
    if chosen.decision is Decision.NOT_FOUND:
        chosen = dataclasses.replace(chosen, decision=Decision.UNSURE, reasons=(UNLIKE,))
    worse = max(pictured, chosen, key=lambda verdict: verdict.decision)
    known = [one.probability for one in (pictured, chosen) if one.probability is not None]
    return dataclasses.replace(worse, probability=min(known) if known else None)
