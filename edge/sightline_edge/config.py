"""The SDK's settings: what a query asks for, and which bundle and key are used by default."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from sightline_shared import environment
from sightline_shared.bundle import Bundle, open_bundle
from sightline_shared.errors import ConfigInvalid
from sightline_shared.protocol import DEFAULT_K, MAX_CODES, MAX_DEADLINE_MS, MAX_K

MAX_RETRIES = 5


@dataclass(frozen=True)
class Options:
    """What every query of a client asks for.

    `k`: matches to return. `deadline_ms`: from the frame to the answer, network included. `rerank`: score the
    returned candidates again with the device's float query, when the API key is allowed their codes. `crops`: regions of
    the frame that are asked about at most, the whole frame first; 1: it alone. `retries`: how often a query may be sent again when the service
    cannot be reached or is busy. `hedge`: send it a second time when the answer is later than nearly all were.
    `pocket_settles`: where the pocket index finds the item, do not ask the service. `ask_restricted`: ask the service about a
    sensitive subject, too, whose restricted pipeline answers from authoritative sources or not at all; without it the device
    says "restricted" and sends nothing.
    """

    k: int = DEFAULT_K
    deadline_ms: int = 2000
    rerank: bool = True
    crops: int = 3
    retries: int = 2
    hedge: bool = True
    pocket_settles: bool = False
    ask_restricted: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAX_K:
            raise ConfigInvalid(f"k: expected 1 to {MAX_K}, got {self.k}.")
        if not 1 <= self.deadline_ms <= MAX_DEADLINE_MS:
            raise ConfigInvalid(f"deadline_ms: expected 1 to {MAX_DEADLINE_MS}, got {self.deadline_ms}.")
        if not 1 <= self.crops <= MAX_CODES:
            raise ConfigInvalid(f"crops: expected 1 to {MAX_CODES}, got {self.crops}.")
        if not 0 <= self.retries <= MAX_RETRIES:
            raise ConfigInvalid(f"retries: expected 0 to {MAX_RETRIES}, got {self.retries}.")

    def at_most(self, *, k: int, crops: int) -> Options:
        """Return options that ask for no more than `k` matches and `crops` regions."""
        return replace(self, k=min(self.k, k), crops=min(self.crops, crops))


def default_bundle_path() -> Path:
    """Return the bundle folder named by SIGHTLINE_BUNDLE, else the one that ships with the SDK."""
    named = environment.read("SIGHTLINE_BUNDLE")
    return Path(named) if named else Path(__file__).parent / "default_bundle"


def resolve_bundle(bundle: Bundle | str | Path | None) -> Bundle:
    """Return `bundle` opened and verified; None means the default bundle."""
    return bundle if isinstance(bundle, Bundle) else open_bundle(bundle or default_bundle_path())
