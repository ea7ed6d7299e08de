"""Found, unsure or not found, with a probability: what the evidence says by a bundle's models, else by its two thresholds.

The service judges what its indexes find with it, the device what its pocket index finds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sightline_shared.confidence import Calibration, Model
from sightline_shared.decision import NO_MATCH, NOT_SURE, decide
from sightline_shared.evidence import Evidence
from sightline_shared.protocol import Decision

# Below this share of what the query most looks like, the nearest item is something else to people, too.
OTHER_THING = 0.05


@dataclass(frozen=True)
class Verdict:
    """What the answer claims; `probability` that the first match is right, None where nothing was calibrated.

    `domain` is what kind of thing the query was taken for ("" for none); each of `reasons` is a stable code and words.
    """

    decision: Decision
    probability: float | None
    domain: str
    reasons: tuple[str, ...]


def judge(evidence: Evidence, calibration: Calibration | None, thresholds: Mapping[str, float]) -> Verdict:
    """Return the verdict on the first match by the first model that can answer; `thresholds` judge where none can."""
    model = calibration.model(evidence) if calibration else None
    if calibration is None or model is None:
        decision, reasons = decide(evidence.cosine, thresholds)
        return Verdict(decision, None, "", reasons)
    domain = calibration.domain(evidence)
    probability = model.probability(evidence, domain)
    if probability < model.not_found_below:
        return Verdict(Decision.NOT_FOUND, probability, domain, (_reason(NO_MATCH, evidence, model, probability),))
    if probability < model.found_min:
        return Verdict(Decision.UNSURE, probability, domain, (_reason(NOT_SURE, evidence, model, probability),))
    return Verdict(Decision.FOUND, probability, domain, ())


def _reason(code: str, evidence: Evidence, model: Model, probability: float) -> str:
    """Return the code and, in words, how probable the match is and what speaks most against it."""
    if model.belongs.chance(evidence) < model.first.chance(evidence):
        why = "the picture looks like nothing in the catalogue"
    elif evidence.compatibility is not None and evidence.compatibility < OTHER_THING:
        why = f"the picture looks like '{evidence.category}', the nearest item is something else"
    else:
        why = "the nearest item is not close enough to tell it from others like it"
    return f"{code}: {why} ({probability:.1%} probable, cosine {evidence.cosine:.3f})"
