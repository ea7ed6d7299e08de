"""Finding words in a text whatever its case, accents and punctuation.

A term is one word or several; one that ends in "*" is found at the beginning of longer words too. Words are runs of letters
and digits, so a language that is written without spaces is not looked into, nor are letters of another alphabet that look
alike.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


def plain(text: str) -> str:
    """Return the text's words in lower case without accents, one space between them and one at both ends."""
    # Twice: folding the case can compose what is to be taken apart.
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    # Accents, and what nobody sees (soft hyphens, joiners), disappear; everything else that is no letter parts words.
    kept = (char for char in text if unicodedata.category(char) not in ("Mn", "Cf"))
    return f" {' '.join(''.join(char if char.isalnum() else ' ' for char in kept).split())} "


def needle(term: str) -> str:
    """Return the form in which a term is looked for in a plain text; "" of a term without a letter or digit."""
    stem = plain(term.removesuffix("*"))
    if not stem.strip():
        return ""
    return stem.removesuffix(" ") if term.endswith("*") else stem


def holds(text: str, needles: Iterable[str]) -> bool:
    """Return whether the `plain` text has one of the needles."""
    return any(each in text for each in needles)
