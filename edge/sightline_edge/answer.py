"""What the app gets back."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Any

from sightline_edge.frame import Box
from sightline_edge.quality import Quality
from sightline_shared.protocol import Match


class Outcome(enum.StrEnum):
    """What the answer claims; RETAKE is the device's own: the frame is too poor to ask about."""

    FOUND = "found"
    UNSURE = "unsure"
    NOT_FOUND = "not_found"
    RESTRICTED = "restricted"
    RETAKE = "retake"


@dataclass(frozen=True)
class Answer:
    """The answer to one frame.

    `decided_by`: "device" (the frame goes no further), "cache" (the service said it of this frame, or one like it, before),
    "pocket" (the device's own index) or "cloud". `final` is False while the service's answer is still to come. `trouble` is
    the code of the error for which it does not come. `confidence` is the estimate, in [0, 1], that the first match is
    right: the service's, or by the same models the device's of what its pocket index finds; None where there is none; `disclaimer` must be shown with the answer where there is one. `code` is the first code sent, None when nothing was; `regions` are
    the parts of the frame that the codes stand for: a match's `code_index` counts among them. `attempts` is how often
    the query was sent. `stages_ms` are milliseconds by stage, in order: the device's,
    then "round_trip", then the service's own as "cloud.<stage>" (inside the round trip). `body_bytes_*` count the
    msgpack bodies, `http_bytes_*` add the HTTP/1.1 request or status line and headers; TCP, TLS and IP are not in it.
    """

    outcome: Outcome
    decided_by: str
    matches: tuple[Match, ...] = ()
    reasons: tuple[str, ...] = ()
    partial: bool = False
    final: bool = True
    trouble: str | None = None
    confidence: float | None = None
    disclaimer: str = ""
    request_id: str = ""
    regions: tuple[Box, ...] = ()
    code: bytes | None = None
    gate_score: float | None = None
    sensitive_score: float = 0.0
    quality: Quality | None = None
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    attempts: int = 0
    body_bytes_up: int = 0
    body_bytes_down: int = 0
    http_bytes_up: int = 0
    http_bytes_down: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as JSON-able data, without the matches' codes."""
        return {
            "outcome": self.outcome.value,
            "decided_by": self.decided_by,
            "reasons": list(self.reasons),
            "partial": self.partial,
            "final": self.final,
            "trouble": self.trouble,
            "confidence": self.confidence,
            "disclaimer": self.disclaimer,
            "request_id": self.request_id,
            "code": self.code.hex() if self.code else None,
            "gate_score": self.gate_score,
            "sensitive_score": round(self.sensitive_score, 4),
            "sharpness": self.quality.sharpness if self.quality else None,
            "brightness": self.quality.brightness if self.quality else None,
            "matches": [
                {
                    "id": match.id,
                    "score": round(match.score, 4),
                    "region": list(astuple(self.regions[match.code_index])) if self.regions else None,
                    "metadata": dict(match.metadata),
                }
                for match in self.matches
            ],
            "attempts": self.attempts,
            "stages_ms": {stage: round(ms, 3) for stage, ms in self.stages_ms.items()},
            "versions": dict(self.versions),
            "bytes": {
                "body_up": self.body_bytes_up,
                "body_down": self.body_bytes_down,
                "http_up": self.http_bytes_up,
                "http_down": self.http_bytes_down,
            },
        }
