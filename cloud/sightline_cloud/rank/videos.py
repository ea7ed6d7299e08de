"""Video balance: one film does not fill the answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sightline_cloud.rank.candidate import Candidate
from sightline_cloud.rank.context import Context
from sightline_cloud.rank.stages import Cost

KEY = "video"
MOST = 3


class Videos:
    """Keeps the best `most` items that share the metadata `video`, a string or whole number; others are untouched."""

    name, cost = "videos", Cost.METADATA

    def __init__(self, most: int = MOST) -> None:
        self._most = most

    def apply(self, candidates: Sequence[Candidate], context: Context) -> Sequence[Candidate]:
        seen: Counter[str | int] = Counter()
        kept = []
        for candidate in candidates:
            video = candidate.metadata.get(KEY)
            if isinstance(video, str | int) and not isinstance(video, bool) and video != "":
                seen[video] += 1
                if seen[video] > self._most:
                    continue
            kept.append(candidate)
        return kept
