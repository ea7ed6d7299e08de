"""The SDK's settings: what a query asks for, and which bundle and key are used by default."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sightline_shared import environment
from sightline_shared.bundle import Bundle, open_bundle
from sightline_shared.errors import ConfigInvalid
from sightline_shared.protocol import DEFAULT_K, MAX_DEADLINE_MS, MAX_K


@dataclass(frozen=True)
class Options:
    """What every query of a client asks for.

    `k`: matches to return. `deadline_ms`: from the frame to the answer, network included. `rerank`: score the
    returned candidates again with the device's float query, when the API key is allowed their codes.
    """

    k: int = DEFAULT_K
    deadline_ms: int = 2000
    rerank: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAX_K:
            raise ConfigInvalid(f"k: expected 1 to {MAX_K}, got {self.k}.")
        if not 1 <= self.deadline_ms <= MAX_DEADLINE_MS:
            raise ConfigInvalid(f"deadline_ms: expected 1 to {MAX_DEADLINE_MS}, got {self.deadline_ms}.")


def default_bundle_path() -> Path:
    """Return the bundle folder named by SIGHTLINE_BUNDLE, else the one that ships with the SDK."""
    named = environment.read("SIGHTLINE_BUNDLE")
    return Path(named) if named else Path(__file__).parent / "default_bundle"


def resolve_bundle(bundle: Bundle | str | Path | None) -> Bundle:
    """Return `bundle` opened and verified; None means the default bundle."""
    return bundle if isinstance(bundle, Bundle) else open_bundle(bundle or default_bundle_path())
