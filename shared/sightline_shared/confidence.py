"""How probable it is that the first match is what was asked for: a logistic model of few signals, in a small file.

A decision file (a bundle's role `decision`, or an operator's own for a tenant and generation) is JSON: `{"format": 1,
"made_of": str, "models": [model], "domain_of": {category: domain}}`. Of the models the first answers whose signals are all
there. A model is `{"belongs": logistic, "first": logistic, "domains": {domain: [scale, shift]}, "found_min": p,
"not_found_below": p}`, a logistic `{"weights": {signal: weight}, "bias": float}`.

The probability is a product: that the picture `belongs` to what the catalogue holds at all, and that the `first` match
is then the one. Two factors, because two things go wrong: a stranger is told by the device's gate however the catalogue
was photographed, a neighbour on the same shelf only by how close it is. Scale and shift (Platt 1999) fit the product to
each domain. No weight is negative: what speaks for a match never makes it less probable.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sightline_shared.errors import DecisionInvalid
from sightline_shared.evidence import SIGNALS, Evidence

FORMAT = 1
ROLE = "decision"
MAX_FILE_BYTES = 256 * 1024
MAX_MODELS = 16
MAX_NAMES = 10_000
MAX_NAME_CHARS = 200
MAX_NUMBER = 1e4
# A product of chances is kept this far from 0 and 1, where its logit has no end.
TINY = 1e-6


@dataclass(frozen=True)
class Logistic:
    """A logistic of named signals; `weights` are not negative."""

    weights: Mapping[str, float]
    bias: float

    def chance(self, evidence: Evidence) -> float:
        """Return the chance in (0, 1) that the `evidence` gives; the signals must all be there."""
        return sigmoid(self.bias + sum(w * (evidence.signal(name) or 0.0) for name, w in self.weights.items()))


@dataclass(frozen=True)
class Model:
    """The chances of one set of signals, how they fit each domain ("": any other), and the two thresholds on them."""

    belongs: Logistic
    first: Logistic
    found_min: float
    not_found_below: float
    domains: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def answers(self, evidence: Evidence) -> bool:
        """Return whether all of its signals are there."""
        return all(evidence.signal(name) is not None for part in (self.belongs, self.first) for name in part.weights)

    def raw(self, evidence: Evidence) -> float:
        """Return the logit of the product of both chances, before it is fitted to a domain."""
        return logit(self.belongs.chance(evidence) * self.first.chance(evidence))

    def fitted(self, evidence: Evidence, domain: str) -> float:
        """Return the logit after it is fitted to the domain."""
        scale, shift = self.domains.get(domain) or self.domains.get("", (1.0, 0.0))
        return scale * self.raw(evidence) + shift

    def probability(self, evidence: Evidence, domain: str) -> float:
        """Return the probability in (0, 1) that the first match is right."""
        return sigmoid(self.fitted(evidence, domain))


@dataclass(frozen=True)
class Calibration:
    """The models of one decision file, what domain a category belongs to, and the photographs that they were fitted to."""

    models: tuple[Model, ...]
    domain_of: Mapping[str, str] = field(default_factory=dict)
    made_of: str = ""

    def model(self, evidence: Evidence) -> Model | None:
        """Return the first model that can answer, None if none can."""
        return next((model for model in self.models if model.answers(evidence)), None)

    def domain(self, evidence: Evidence) -> str:
        """Return the domain of what the query is taken for, "" for none."""
        return self.domain_of.get(evidence.category, "")

    def to_bytes(self) -> bytes:
        """Return the decision file: sorted keys, so that equal ones are equal bytes."""
        models = [
            {
                **{name: _written(getattr(model, name)) for name in ("belongs", "first")},
                "found_min": _rounded(model.found_min),
                "not_found_below": _rounded(model.not_found_below),
                "domains": {name: [_rounded(number) for number in pair] for name, pair in model.domains.items()},
            }
            for model in self.models
        ]
        fields = {"format": FORMAT, "made_of": self.made_of, "models": models, "domain_of": dict(self.domain_of)}
        return json.dumps(fields, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Calibration:
        """Read a decision file, `where` naming it to people; raises DecisionInvalid, which names the field."""
        if len(data) > MAX_FILE_BYTES:
            raise DecisionInvalid(f"{where}: expected at most {MAX_FILE_BYTES} bytes, got {len(data)}.")
        try:
            fields = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise DecisionInvalid(f"{where}: expected JSON, got {str(error)!r:.200}.") from error
        top = _Reader(fields, where)
        top.expect_keys({"format", "made_of", "models", "domain_of"})
        if fields["format"] != FORMAT:
            raise DecisionInvalid(
                f"{where}: expected format {FORMAT}, got {fields['format']!r:.40}.",
                hint="Upgrade the sightline package.",
            )
        models = top.part("models").rows(MAX_MODELS)
        return cls(tuple(map(_model, models)), top.part("domain_of").names(), top.part("made_of").text())


def sigmoid(x: float) -> float:
    """Return the logistic function of `x`, which may be of any size."""
    return 1 / (1 + math.exp(-min(700.0, max(-700.0, x))))


def logit(p: float) -> float:
    """Return the logarithm of the odds of `p`, kept TINY from 0 and 1."""
    inside = min(1 - TINY, max(TINY, p))
    return math.log(inside / (1 - inside))


def _model(part: _Reader) -> Model:
    part.expect_keys({"belongs", "first", "domains", "found_min", "not_found_below"})
    domains = {name: pair.pair() for name, pair in part.part("domains").parts().items()}
    found, not_found = (part.part(name).number(0, 1) for name in ("found_min", "not_found_below"))
    if not_found > found:
        raise part.wrong("not_found_below <= found_min", f"{not_found} and {found}")
    return Model(_logistic(part.part("belongs")), _logistic(part.part("first")), found, not_found, domains)


def _logistic(part: _Reader) -> Logistic:
    part.expect_keys({"weights", "bias"})
    weights = part.part("weights")
    if not set(weights.parts()) <= set(SIGNALS):
        raise weights.wrong(f"signals out of {SIGNALS}", sorted(weights.parts()))
    values = {name: weight.number(0, MAX_NUMBER) for name, weight in weights.parts().items()}
    return Logistic(values, part.part("bias").number(-MAX_NUMBER, MAX_NUMBER))


def _written(part: Logistic) -> dict[str, Any]:
    return {"weights": {name: _rounded(value) for name, value in part.weights.items()}, "bias": _rounded(part.bias)}


def _rounded(number: float) -> float:
    return round(float(number), 6)


@dataclass(frozen=True)
class _Reader:
    """A value somewhere in a file that may hold anything, and where it stands."""

    value: Any
    where: str

    def wrong(self, expected: str, got: object) -> DecisionInvalid:
        return DecisionInvalid(f"{self.where}: expected {expected}, got {got!r:.120}.")

    def expect_keys(self, keys: set[str]) -> None:
        if not isinstance(self.value, dict) or set(self.value) != keys:
            raise self.wrong(
                f"a map with {sorted(keys)}", sorted(self.value) if isinstance(self.value, dict) else self.value
            )

    def part(self, key: str) -> _Reader:
        return _Reader(self.value[key], f"{self.where}, {key}")

    def parts(self) -> dict[str, _Reader]:
        """Return the values of a map by name."""
        if not isinstance(self.value, dict) or len(self.value) > MAX_NAMES:
            raise self.wrong(f"a map of at most {MAX_NAMES} names", self.value)
        if any(len(name) > MAX_NAME_CHARS for name in self.value):
            raise self.wrong(f"names of at most {MAX_NAME_CHARS} characters", max(self.value, key=len))
        return {name: self.part(name) for name in self.value}

    def rows(self, most: int) -> list[_Reader]:
        """Return the values of a list of 1 to `most`."""
        if not isinstance(self.value, list) or not 1 <= len(self.value) <= most:
            raise self.wrong(f"a list of 1 to {most}", self.value)
        return [_Reader(value, f"{self.where}[{row}]") for row, value in enumerate(self.value)]

    def names(self) -> dict[str, str]:
        return {name: part.text() for name, part in self.parts().items()}

    def text(self) -> str:
        if not isinstance(self.value, str) or len(self.value) > MAX_NAME_CHARS:
            raise self.wrong(f"a text of at most {MAX_NAME_CHARS} characters", self.value)
        return self.value

    def number(self, low: float, high: float) -> float:
        if isinstance(self.value, bool) or not isinstance(self.value, int | float) or not low <= self.value <= high:
            raise self.wrong(f"a number from {low} to {high}", self.value)
        return float(self.value)

    def pair(self) -> tuple[float, float]:
        """Return scale and shift; a scale below 0 would turn the order round."""
        scale, shift = self.rows(2) if isinstance(self.value, list) and len(self.value) == 2 else (self, self)
        return scale.number(0, MAX_NUMBER), shift.number(-MAX_NUMBER, MAX_NUMBER)
