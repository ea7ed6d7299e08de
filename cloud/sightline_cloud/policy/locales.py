"""Which of the languages at hand a caller wants: the header Accept-Language (RFC 9110, section 12.5.4)."""

from __future__ import annotations

from collections.abc import Collection

FALLBACK = "en"
# Real browsers send a handful of languages in less than 100 characters.
MAX_CHARS = 256


def choose(wanted: str, at_hand: Collection[str]) -> str:
    """Return the one of `at_hand` that `wanted` ranks highest, "en" when it names none of them.

    "de-AT" is served by "de". What does not read as a language, or is longer than a header should be, asks for nothing.
    """
    ranked = sorted(_ranges(wanted[:MAX_CHARS]), key=lambda each: -each[1])
    for language, _ in ranked:
        for name in (language, language.partition("-")[0]):
            if name in at_hand:
                return name
    return FALLBACK


def _ranges(wanted: str) -> list[tuple[str, float]]:
    """Return languages in lower case with their quality; those of quality 0 are not wanted."""
    found = []
    for part in wanted.split(","):
        language, _, parameter = part.partition(";")
        quality = _quality(parameter)
        if quality > 0:
            found.append((language.strip().lower().replace("_", "-"), quality))
    return found


def _quality(parameter: str) -> float:
    name, _, value = parameter.replace(" ", "").partition("=")
    if not name:
        return 1.0
    try:
        quality = float(value) if name == "q" else 0.0
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
