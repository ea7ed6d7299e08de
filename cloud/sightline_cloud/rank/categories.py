"""How well an item's category fits what the query shows: a soft signal, for the ranking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_shared.evidence import compatibility


def compatible(category: Any, probabilities: NDArray[np.float32], labels: Sequence[str]) -> float:
    """Return the category's share, in [0, 1], of the most probable one's `probabilities` `(c,)` over `labels`.

    1.0 for a category that the semantic head does not know, for none, and for metadata that holds anything else there: what
    says nothing is not held against the item.
    """
    known = compatibility(category, probabilities, labels) if isinstance(category, str) else None
    return 1.0 if known is None else known
