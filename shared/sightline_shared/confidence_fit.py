"""Fitting the decision to photographs whose right answer is known: plain numpy, for the export and for an operator.

Three kinds of question count: `known` ones, whose item the catalogue holds; `near` ones, whose item was taken out of it, so
that something else of the same shelf is the nearest; and `far` ones, strangers. Half of all is taken to be unanswerable, in
equal parts near and far, and every style of catalogue and every group counts the same, however many photographs it has.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline_shared.confidence import TINY, Calibration, Logistic, Model
from sightline_shared.errors import TrainingDataTooSmall
from sightline_shared.evidence import Evidence

Floats = NDArray[np.float64]

KINDS = ("known", "near", "far")
# Signals of both factors, the richest first: the last needs nothing but the cosine.
BELONGS = (("gate", "cosine"), ("cosine",))
FIRST = (("cosine", "margin", "agreement", "compatibility"), ("cosine",))
# Of the known photographs of the worst style and group so many may be denied, of its strangers so many be found.
DENIED = 0.02
STRANGERS_FOUND = 0.05
# "Found" says that the first match is more probably right than not.
LEAST_FOUND = 0.5
DECAY = 1e-3
LEAST_EXAMPLES = 20


@dataclass(frozen=True)
class Example:
    """One question with its evidence: its kind ("known", "near", "far"), whether the first match was right, and where
    it counts: the catalogue's `style` and the photograph's `group`."""

    evidence: Evidence
    right: bool
    kind: str
    style: str = ""
    group: str = ""


def fit(examples: Sequence[Example], domain_of: dict[str, str], made_of: str) -> Calibration:
    """Return models for every set of signals; raises TrainingDataTooSmall without 20 examples of each kind."""
    for kind in KINDS:
        count = sum(example.kind == kind for example in examples)
        if count < LEAST_EXAMPLES:
            raise TrainingDataTooSmall(
                f"decision: expected {LEAST_EXAMPLES} or more '{kind}' photographs, got {count}."
            )
    models = []
    for first_signals in FIRST:
        for belongs_signals in BELONGS:
            own = _answered_by({*first_signals, *belongs_signals}, set(FIRST[0]) - set(first_signals), examples)
            if own:
                models.append(_fit_model(own, belongs_signals, first_signals, domain_of))
    return Calibration(tuple(models), domain_of, made_of)


def refit(base: Calibration, examples: Sequence[Example], made_of: str) -> Calibration:
    """Return `base` with its probabilities and thresholds fitted to one catalogue's own `examples`.

    What speaks for a match, and how much, stays, and so do the differences of the domains: one scale and one shift are
    fitted over all of them, and both thresholds chosen anew. A model that too few of the examples have the signals for is
    left out. Raises TrainingDataTooSmall when none is left.
    """
    domain_of = dict(base.domain_of)
    models = []
    for model in base.models:
        own = [example for example in examples if model.answers(example.evidence)]
        if sum(example.kind == "known" for example in own) >= LEAST_EXAMPLES and len({e.right for e in own}) == 2:
            models.append(_with_thresholds(_shifted(model, own, base), own, domain_of))
    if not models:
        raise TrainingDataTooSmall(
            f"decision: expected {LEAST_EXAMPLES} or more photographs of items of the catalogue, some of them with a wrong "
            f"first match or of nothing in it, got {sum(example.kind == 'known' for example in examples)}.",
        )
    return Calibration(tuple(models), domain_of, made_of)


def _answered_by(signals: set[str], lacking: set[str], examples: Sequence[Example]) -> list[Example]:
    """Return the examples that have the `signals` and, where there are any, of these the ones without the signals `lacking`.

    What has no categories is ranked without them, too: its model learns from such answers.
    """
    usable = [e for e in examples if all(e.evidence.signal(name) is not None for name in signals)]
    without = [e for e in usable if lacking and all(e.evidence.signal(name) is None for name in lacking)]
    return without or usable


def _fit_model(
    examples: list[Example], belongs: tuple[str, ...], first: tuple[str, ...], domain_of: dict[str, str]
) -> Model:
    inside = np.array([example.kind != "far" for example in examples])
    right = np.array([example.right for example in examples])
    weights = example_weights(examples)
    # Each factor sees half of either answer: whether a stranger, then whether the right neighbour.
    at_all = logistic(matrix(examples, belongs), inside, _halves(weights, inside), belongs)
    there = [example for example in examples if example.kind != "far"]
    known = np.array([example.kind == "known" for example in there])
    it = logistic(matrix(there, first), right[inside], _halves(weights[inside], known), first)
    model = Model(at_all, it, 1.0, 0.0)
    return _with_thresholds(_fitted_to_domains(model, examples, domain_of), examples, domain_of)


def _fitted_to_domains(model: Model, examples: list[Example], domain_of: dict[str, str]) -> Model:
    """Return `model` with scale and shift for all examples (""), and for every domain that has enough of its own."""
    domains = np.array([domain_of.get(example.evidence.category, "") for example in examples])
    raw = np.array([[model.raw(example.evidence)] for example in examples])
    right, weights = np.array([example.right for example in examples]), example_weights(examples)
    found: dict[str, tuple[float, float]] = {}
    for name in ["", *sorted(set(domains.tolist()) - {""})]:
        rows = np.ones(len(examples), bool) if not name else domains == name
        if min(int(right[rows].sum()), int((~right[rows]).sum())) >= LEAST_EXAMPLES or not name:
            line = logistic(raw[rows], right[rows], weights[rows], ("cosine",))
            found[name] = line.weights.get("cosine", 0.0), line.bias
    return dataclasses.replace(model, domains=found)


def _shifted(model: Model, examples: list[Example], base: Calibration) -> Model:
    """Return `model` with one more scale and shift behind those of its domains, fitted to `examples`."""
    logits = np.array([[model.fitted(example.evidence, base.domain(example.evidence))] for example in examples])
    right = np.array([example.right for example in examples])
    line = logistic(logits, right, example_weights(examples), ("cosine",))
    gain = line.weights.get("cosine", 0.0)
    domains = {"": (1.0, 0.0), **model.domains}
    moved = {name: (gain * scale, gain * shift + line.bias) for name, (scale, shift) in domains.items()}
    return dataclasses.replace(model, domains=moved)


def _with_thresholds(model: Model, examples: list[Example], domain_of: dict[str, str]) -> Model:
    """Return `model` with thresholds that deny few known photographs of any group, and call few strangers found."""
    p = np.array([model.probability(e.evidence, domain_of.get(e.evidence.category, "")) for e in examples])
    denied = min(float(np.quantile(p[rows], DENIED)) for rows in _groups(examples, "known"))
    strangers = [float(np.quantile(p[rows], 1 - STRANGERS_FOUND)) for rows in _groups(examples, "far")]
    found = min(1.0, max(LEAST_FOUND, denied, *strangers))
    return dataclasses.replace(model, found_min=found, not_found_below=denied)


def example_weights(examples: Sequence[Example]) -> Floats:
    """Return what each example counts `(n,)`: styles alike, in each half known, groups alike within a kind."""
    weights = np.zeros(len(examples))
    styles = sorted({example.style for example in examples})
    for style in styles:
        groups = {
            kind: [rows for rows in _groups(examples, kind) if examples[int(rows[0])].style == style] for kind in KINDS
        }
        unanswerable = sum(bool(groups[kind]) for kind in ("near", "far"))
        for kind, own in groups.items():
            for rows in own:
                weights[rows] = (1 if kind == "known" else 1 / unanswerable) / len(own) / len(rows) / len(styles) / 2
    return weights


def logistic(x: Floats, right: NDArray[np.bool_], weights: Floats, signals: tuple[str, ...]) -> Logistic:
    """Return the logistic regression of `right` `(n,)` on `x` `(n, signals)` whose weights are not negative.

    Newton's method on standardised signals with a small decay. A signal that the fit would turn against the match is
    left out, the worst first (an active set, as in Lawson and Hanson 1974, chapter 23, which never lets one back in).
    """
    mean = np.average(x, axis=0, weights=weights)
    spread = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weights)) + 1e-9
    z = np.column_stack([(x - mean) / spread, np.ones(len(x))])
    free = list(range(len(signals)))
    while True:
        columns = [*free, len(signals)]
        solved = _newton(z[:, columns], right.astype(np.float64), weights / weights.sum())
        if not free or solved[:-1].min() >= 0:
            break
        free.pop(int(solved[:-1].argmin()))
    slopes = {place: solved[row] / spread[place] for row, place in enumerate(free)}
    bias = solved[-1] - sum(slope * mean[place] for place, slope in slopes.items())
    return Logistic({signals[place]: float(slope) for place, slope in slopes.items() if slope > 0}, float(bias))


def matrix(examples: Sequence[Example], signals: tuple[str, ...]) -> Floats:
    """Return the signals `(n, signals)` of `examples`, which all have them."""
    return np.array([[example.evidence.signal(name) for name in signals] for example in examples], np.float64)


def _newton(z: Floats, right: Floats, weights: Floats) -> Floats:
    """Return the coefficients `(m,)` of least cross-entropy plus decay; the last column of `z` is the constant."""
    decay = np.full(z.shape[1], DECAY)
    decay[-1] = TINY
    found = np.zeros(z.shape[1])
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(z @ found, -50, 50)))
        slope = z.T @ (weights * (p - right)) + decay * found
        curve = (z * (weights * p * (1 - p))[:, None]).T @ z + np.diag(decay)
        step = np.linalg.solve(curve, slope)
        # Half-way where a full step would jump: few examples can all lie on one side.
        found -= step * min(1.0, 4.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    return found


def _halves(weights: Floats, one: NDArray[np.bool_]) -> Floats:
    """Return `weights` with both sides of `one` summing to the same."""
    balanced = weights.copy()
    balanced[one] /= weights[one].sum()
    balanced[~one] /= weights[~one].sum()
    return balanced


def _groups(examples: Sequence[Example], kind: str) -> list[NDArray[np.int64]]:
    """Return the rows of every style and group of a kind; none is empty."""
    found: dict[tuple[str, str], list[int]] = {}
    for row, example in enumerate(examples):
        if example.kind == kind:
            found.setdefault((example.style, example.group), []).append(row)
    return [np.array(rows, np.int64) for rows in found.values()]
