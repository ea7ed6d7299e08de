"""What the service says of the codes of a frame: merged over the codes, ranked, and judged by the bundle's models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sightline_cloud.nearest import merge
from sightline_cloud.rank.candidate import Candidate, order
from sightline_cloud.rank.categories import compatible
from sightline_cloud.rank.confidence import Confidence
from sightline_cloud.rank.evidence import gather
from sightline_edge.device import Device
from sightline_edge.pipeline import Crop
from sightline_edge.rerank import unit
from sightline_shared.evidence import CATEGORY_BONUS, FETCHED
from sightline_shared.protocol import DEFAULT_K
from sightline_shared.verdict import Verdict


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Unit embeddings `(n, d) float32`, the label of each, and its category ("" for none; empty: none has one)."""

    vectors: NDArray[np.float32]
    labels: Sequence[str]
    categories: Sequence[str] = field(default=())

    def without(self, labels: frozenset[str]) -> Catalogue:
        """Return it without the pictures that have one of the `labels`."""
        kept = np.flatnonzero(~np.isin(self._labels, sorted(labels)))
        categories = [self.categories[row] for row in kept.tolist()] if self.categories else ()
        return Catalogue(self.vectors[kept], self._labels[kept].tolist(), categories)

    @cached_property
    def _labels(self) -> NDArray[np.str_]:
        return np.array(self.labels, np.str_)


def judged(sent: Sequence[Crop], device: Device, catalogue: Catalogue) -> tuple[Verdict, tuple[str, ...]]:
    """Return the verdict on the crops that were `sent`, and the labels of the matches, best first."""
    codes = np.stack([np.frombuffer(crop.code or b"", np.uint8) for crop in sent])
    vectors = unit(device.codec.decode(codes))
    cosines = vectors @ catalogue.vectors.T
    rows = np.argsort(-cosines, axis=1, kind="stable")[:, :FETCHED]
    hits = merge(np.take_along_axis(cosines, rows, axis=1), rows, FETCHED)
    semantic = device.heads.semantic if device.heads else None
    probabilities = semantic.probabilities(vectors) if semantic else None
    candidates = []
    for hit in hits:
        category = catalogue.categories[hit.pk] if catalogue.categories else ""
        fits = 0.0
        if semantic is not None and probabilities is not None:
            fits = compatible(category, probabilities[hit.code_index], semantic.labels)
        shown = {"category": category}
        candidates.append(Candidate(hit.pk, "", hit.score, hit.code_index, shown, b"", CATEGORY_BONUS * fits))
    ranked = sorted(candidates, key=order)
    evidence = gather(ranked[0], candidates, [crop.gate_score for crop in sent], vectors, device.heads)
    verdict = Confidence(device.calibration, device.bundle.manifest.decision).judge(evidence)
    return verdict, tuple(catalogue.labels[each.pk] for each in ranked[:DEFAULT_K])
