"""What the device can answer without the service: from its cache, from its pocket index, or by stopping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sightline_edge.answer import Answer, Outcome
from sightline_edge.cache import AnswerCache, Asked
from sightline_edge.config import Options
from sightline_edge.device import Device
from sightline_edge.pipeline import Observation
from sightline_shared.budget import Budget
from sightline_shared.errors import FilterInvalid, ServiceError
from sightline_shared.evidence import NEIGHBOURS, weigh
from sightline_shared.protocol import Match
from sightline_shared.verdict import Verdict, judge
from sightline_shared.where import Where

TEXT_UNREAD = "text was not used: the device does not read it"


class Pocket(Protocol):
    """The pocket index as the client sees it; `pocket.PocketIndex` is one."""

    def __len__(self) -> int: ...

    def search(self, embedding: NDArray[np.float32], k: int, where: Where | None = None) -> tuple[Match, ...]:
        """Return the k nearest items to `(d,) float32`, best first; raises FilterInvalid for a key it does not hold."""
        ...


@dataclass(frozen=True, eq=False)
class Turn:
    """One query on its way: what the device saw and is asked, and what it can say by itself (None: nothing)."""

    seen: Observation
    asked: Asked
    options: Options
    budget: Budget
    local: Answer | None

    @property
    def settled(self) -> bool:
        """Whether the local answer is the last word, and nothing is sent."""
        return self.local is not None and self.local.final

    @property
    def shown(self) -> Answer | None:
        """The local answer if it is worth showing before the service's: that a head lacks something is not."""
        waits = self.local is not None and self.local.outcome is Outcome.NOT_FOUND and not self.local.final
        return None if waits else self.local


def stopped(seen: Observation, budget: Budget) -> Answer | None:
    """Return the device's own answer when the frame goes no further, else None.

    Of a sensitive subject that the service is asked about it is what stands until the service has answered, and if it cannot.
    """
    outcome = Outcome.RESTRICTED if seen.restricted else seen.stop
    if outcome is None:
        return None
    return replace(_own(seen, budget, "device"), outcome=outcome, reasons=_doubt(seen), final=not seen.restricted)


def from_cache(seen: Observation, asked: Asked, cache: AnswerCache, budget: Budget) -> Answer | None:
    """Return the service's earlier answer to the same codes, or to a nearly equal frame, else None.

    To the same codes it would say the same again: final. To nearly equal ones often, and not always: the service is asked.
    """
    assert seen.embedding is not None
    with budget.stage("cache"):
        exact = cache.exact(asked)
        found = exact or cache.near(asked, seen.embedding, seen.phash)
    if found is None:
        return None
    return replace(
        _own(seen, budget, "cache"),
        outcome=found.outcome,
        matches=found.matches,
        reasons=found.reasons,
        versions=found.versions,
        request_id=found.request_id,
        regions=found.regions,
        final=exact is not None,
    )


def from_pocket(
    seen: Observation, where: Where, options: Options, pocket: Pocket, device: Device, budget: Budget
) -> Answer | None:
    """Return what the pocket index says, None where it cannot say anything.

    It holds the head of the catalogue: that an item is not in it says nothing about the rest, so its "not found" waits
    for the service. The answer is final where `options.pocket_settles` and it is found.
    """
    assert seen.embedding is not None
    with budget.stage("pocket"):
        try:
            matches = pocket.search(seen.embedding, max(NEIGHBOURS, options.k), where)
        except FilterInvalid:  # on a key that the service keeps and the pocket does not hold
            return None
        if not matches:
            return None
        verdict = judged(matches, seen, device)
    outcome = Outcome(verdict.decision.label)
    return replace(
        _own(seen, budget, "pocket"),
        outcome=outcome,
        matches=() if outcome is Outcome.NOT_FOUND else matches[: options.k],
        reasons=(*verdict.reasons, *_doubt(seen)),
        confidence=verdict.probability,
        final=options.pocket_settles and outcome is Outcome.FOUND,
    )


def judged(matches: Sequence[Match], seen: Observation, device: Device) -> Verdict:
    """Return what the service's own models say of the pocket's `matches`, the ten nearest at least where there are so many.

    Items say their category where the pocket holds that key; without it the model that needs none answers.
    """
    named = [match.metadata.get("category") for match in matches]
    assert seen.embedding is not None
    semantic = device.heads.semantic if device.heads else None
    evidence = weigh(
        [match.score for match in matches],
        [name if isinstance(name, str) else "" for name in named],
        gate=seen.sent[0].gate_score,
        probabilities=semantic.probabilities(seen.embedding[np.newaxis])[0] if semantic else None,
        labels=semantic.labels if semantic else (),
    )
    return judge(evidence, device.calibration, device.bundle.manifest.decision)


def without_text(answer: Answer, text: str) -> Answer:
    """Return the pocket index's answer to a query that says something: it waits for the service, which reads it."""
    return replace(answer, final=False, reasons=(*answer.reasons, TEXT_UNREAD)) if text else answer


def standing(turn: Turn, error: ServiceError) -> Answer:
    """Return the local answer as the last word, because the service could not be asked; raises `error` without one."""
    if turn.local is None:
        raise error
    reason = f"the service did not answer: this is what the device knows ({error.message})"
    return replace(
        turn.local, final=True, trouble=error.code, reasons=(*turn.local.reasons, reason),
        stages_ms=dict(turn.budget.stages_ms),
    )  # fmt: skip


def _own(seen: Observation, budget: Budget, decided_by: str) -> Answer:
    return Answer(
        outcome=Outcome.UNSURE,
        decided_by=decided_by,
        code=None,
        gate_score=seen.gate_score,
        sensitive_score=seen.sensitive_score,
        quality=seen.quality,
        stages_ms=dict(budget.stages_ms),
    )


def _doubt(seen: Observation) -> tuple[str, ...]:
    return (seen.reason,) if seen.reason else ()
