"""The policy as it was reviewed: who answers for it, which subjects are sensitive, and what is said about them."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sightline_cloud.policy.locales import choose

Without = Literal["restricted", "open"]


@dataclass(frozen=True)
class HeadRule:
    """What the policy asks of the bundle's sensitive head.

    `miss_rate_upper`: the export must have shown, with subjects left out of training, that the head misses no larger share:
    the upper end of the figure's 95 % interval counts. `code_margin`: logits by which the head's threshold is lowered on
    decoded codes. `without_head`: what becomes of queries of a bundle that was made without such a head.
    """

    miss_rate_upper: float
    code_margin: float
    without_head: Without


@dataclass(frozen=True)
class SensitiveClass:
    """One class of sensitive subjects and the signals that can see it.

    `head_kinds`: kinds of the sensitive head. `terms`: words and phrases by language, as written in the file; `needles`: all
    of them in the form in which they are looked for (terms.py). `nothing_found`: by language, what is said when nothing
    authoritative is close.
    """

    name: str
    head_kinds: tuple[str, ...]
    terms: Mapping[str, tuple[str, ...]]
    needles: tuple[str, ...]
    nothing_found: Mapping[str, str]


@dataclass(frozen=True)
class Policy:
    """One policy file. `source` is where it was read, `digest` the SHA-256 (hex) of its bytes.

    `allowed_sources`: values of the items' metadata key "source" that may answer. Every text is there in the same languages,
    English among them.
    """

    source: str
    digest: str
    number: int
    owner: str
    reviewed: datetime.date
    review_by: datetime.date
    head: HeadRule
    allowed_sources: tuple[str, ...]
    disclaimers: Mapping[str, str]
    nothing_found: Mapping[str, str]
    classes: tuple[SensitiveClass, ...]

    @property
    def version(self) -> str:
        """What logs and answers name: the number that its owner gave, and which bytes these are."""
        return f"{self.number}@{self.digest[:8]}"

    def overdue(self, today: datetime.date) -> bool:
        return today > self.review_by

    def classes_of_kinds(self, kinds: Sequence[str]) -> tuple[str, ...]:
        """Return the classes that a head of these kinds may have seen: it has one score for all of them."""
        return tuple(each.name for each in self.classes if set(each.head_kinds) & set(kinds))

    def words(self, locale: str, classes: Sequence[str] = (), *, nothing_found: bool) -> str:
        """Return the disclaimer in the language that `locale` (an Accept-Language) asks for, else in English.

        With `nothing_found` it follows what the first of `classes`, or the policy in general, says then.
        """
        disclaimer = self.disclaimers[choose(locale, self.disclaimers)]
        if not nothing_found:
            return disclaimer
        said = next((each.nothing_found for each in self.classes if each.name in classes), self.nothing_found)
        return f"{said[choose(locale, said)]} {disclaimer}"
