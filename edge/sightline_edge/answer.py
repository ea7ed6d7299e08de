"""What the app gets back."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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

    `code` is what was sent, None when nothing was. `decided_by` is "device" when no byte was sent. `stages_ms` are milliseconds by stage, in order: the device's,
    then "round_trip", then the service's own as "cloud.<stage>" (inside the round trip). `body_bytes_*` count the
    msgpack bodies, `http_bytes_*` add the HTTP/1.1 request or status line and headers; TCP, TLS and IP are not in it.
    """

    outcome: Outcome
    decided_by: str
    matches: tuple[Match, ...] = ()
    reasons: tuple[str, ...] = ()
    partial: bool = False
    request_id: str = ""
    code: bytes | None = None
    gate_score: float | None = None
    sensitive_score: float = 0.0
    quality: Quality | None = None
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
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
            "request_id": self.request_id,
            "code": self.code.hex() if self.code else None,
            "gate_score": self.gate_score,
            "sensitive_score": round(self.sensitive_score, 4),
            "sharpness": self.quality.sharpness if self.quality else None,
            "brightness": self.quality.brightness if self.quality else None,
            "matches": [
                {"id": match.id, "score": round(match.score, 4), "metadata": dict(match.metadata)}
                for match in self.matches
            ],
            "stages_ms": {stage: round(ms, 3) for stage, ms in self.stages_ms.items()},
            "versions": dict(self.versions),
            "bytes": {
                "body_up": self.body_bytes_up,
                "body_down": self.body_bytes_down,
                "http_up": self.http_bytes_up,
                "http_down": self.http_bytes_down,
            },
        }
