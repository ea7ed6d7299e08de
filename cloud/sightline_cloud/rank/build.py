"""The ranking that the settings ask for."""

from __future__ import annotations

from collections.abc import Sequence

from sightline_cloud.rank import diversity, duplicates, videos
from sightline_cloud.rank.diversity import Diversity
from sightline_cloud.rank.duplicates import Duplicates
from sightline_cloud.rank.metadata import Metadata, Weights
from sightline_cloud.rank.stages import Ranking, Stage
from sightline_cloud.rank.videos import Videos
from sightline_shared.errors import ConfigInvalid

STAGES = ("metadata", "text", "duplicates", "videos", "diversity")
# By measurement: diversity helps one kind of catalogue and harms another, and of videos there is none to measure.
DEFAULT_STAGES = ("metadata", "text", "duplicates")
NO_WEIGHTS = Weights()


def build(
    names: Sequence[str] = DEFAULT_STAGES,
    *,
    weights: Weights = NO_WEIGHTS,
    duplicate_min_cosine: float = duplicates.MIN_COSINE,
    group_key: str = duplicates.GROUP_KEY,
    per_video: int = videos.MOST,
    diversity_weight: float = diversity.WEIGHT,
    text: Stage | None = None,
) -> Ranking:
    """Return the stages `names`, in that order; raises ConfigInvalid for a name that there is not, or one twice.

    "metadata" without any weight would do nothing and is left out; so is "text" without the stage `text`.
    """
    if len(set(names)) < len(names) or not set(names) <= set(STAGES):
        raise ConfigInvalid(f"rank_stages: expected each of {', '.join(STAGES)} at most once, got {', '.join(names)}.")
    made: dict[str, Stage] = {
        "metadata": Metadata(weights),
        "duplicates": Duplicates(duplicate_min_cosine, group_key),
        "videos": Videos(per_video),
        "diversity": Diversity(diversity_weight),
    }
    if text is not None:
        made["text"] = text
    return Ranking([made[name] for name in names if name in made and (name != "metadata" or weights.some)])
