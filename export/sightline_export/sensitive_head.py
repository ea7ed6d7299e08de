"""Training the sensitive head: Fisher's discriminant, its shrinkage chosen by kinds it never saw, its thresholds by misses.

The sensitive photographs come from sources of kind "sensitive". One person's photographs stay on one side: those with the
same `instance` are all in training or all left out, and the head that is reported is the one that never saw them. The
heads are compared on validation photographs of other things; test photographs only measure the one that is chosen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline_export import recipe as recipes
from sightline_export.bounds import share_figure, upper_bound
from sightline_export.data import PhotoSet
from sightline_export.evaluate import Figure, auroc, auroc_figure
from sightline_export.fisher import Moments, fit_fisher, moments
from sightline_shared.errors import TrainingDataTooSmall
from sightline_shared.heads import Sensitive

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]
Chosen = NDArray[np.bool_]
FOLDS = 5
# The share of the covariance that the sensitive photographs get, however few they are.
SENSITIVE_SHARE = 0.3
# How much AUROC on the kinds it knows a shrinkage may lose against the best, for the sake of kinds it does not know.
KNOWN_SLACK = 0.001
# The share of false alarms at which recall is reported.
REPORTED_ALARM = 0.01


@dataclass(frozen=True, eq=False)
class Logit:
    """One fitted head: `weight` `(d,)` and `bias`."""

    weight: Vectors
    bias: float

    def __call__(self, vectors: Vectors) -> Vectors:
        return np.asarray(vectors @ self.weight + self.bias, dtype=np.float32)


# By kind: the logits of its photographs, and the head that other photographs are to be scored with.
Judged = dict[str, tuple[Vectors, Logit]]


@dataclass(frozen=True, eq=False)
class Lesson:
    """What heads learn from: n sensitive photographs and the moments of all others.

    `vectors` `(n, d)` are theirs, `views` hold `(v, d)` of each one's augmented views, `folds` `(n,)` keep subjects together.
    """

    vectors: Vectors
    views: tuple[Vectors, ...]
    kinds: NDArray[np.str_]
    folds: Rows
    others: Moments

    def head(self, chosen: Chosen, shrinkage: float) -> Logit:
        """Return the head that knows the sensitive photographs `chosen` `(n,) bool`, every kind weighing the same."""
        places = np.flatnonzero(chosen)
        x = np.concatenate([self.vectors[places], *(self.views[place] for place in places)])
        kinds = [self.kinds[places], *(np.repeat(self.kinds[place], len(self.views[place])) for place in places)]
        return Logit(*fit_fisher(moments(x, np.concatenate(kinds)), self.others, SENSITIVE_SHARE, shrinkage))


@dataclass(frozen=True, eq=False)
class Trial:
    """The heads of one shrinkage: `shipped` knows all, `blind` `(n,)` are logits by heads that left the subject out.

    `without` are the heads that never saw a kind, by kind; none where there is only one kind.
    """

    shrinkage: float
    shipped: Logit
    blind: Vectors
    without: dict[str, Logit]


def fit_sensitive(
    photos: PhotoSet, vectors: Vectors, own: dict[int, Vectors], views: dict[int, Vectors], settings: recipes.Heads
) -> tuple[Sensitive, dict[str, Figure]]:
    """Return the sensitive head and what it does to photographs that it has not seen.

    `own` and `views` are augmented views of the sensitive and of other photographs, by row. Thresholds and figures come
    from FOLDS heads that each leave a fifth of the subjects out; the head that ships learns from all. Raises
    TrainingDataTooSmall without validation photographs of other things, or with too few subjects to leave some out.
    """
    lesson = lesson_of(photos, vectors, own, views)
    held = {name: vectors[rows] for name, rows in rows_by_source(photos, "val").items()}
    if not held or len(np.unique(lesson.folds)) < 2:
        raise TrainingDataTooSmall(
            f"sensitive head: expected validation photographs of other things and two subjects or more to tell apart, got "
            f"{sum(map(len, held.values()))} photographs and {len(np.unique(lesson.folds))} group of subjects.",
            hint="Add sensitive photographs of other subjects, or give the other sources a 'val' split.",
        )
    trials = [try_shrinkage(lesson, shrinkage) for shrinkage in settings.sensitive_shrinkages]
    trial, found = choose(trials, lesson, held)
    alarms = trial.shipped(np.concatenate(list(held.values())))
    low, high = thresholds(trial.blind, alarms, settings)
    tests = {name: vectors[rows] for name, rows in asked_rows(photos).items()}
    scores = {name: trial.shipped(rows) for name, rows in tests.items()}
    found |= sensitive_figures(lesson.kinds, trial.blind, scores, low, high) | unseen_figures(trial, lesson, tests)
    kinds, head = tuple(np.unique(lesson.kinds).tolist()), trial.shipped
    return Sensitive(kinds, head.weight, head.bias, squash(low), squash(high)), found


def lesson_of(photos: PhotoSet, vectors: Vectors, own: dict[int, Vectors], views: dict[int, Vectors]) -> Lesson:
    """Return what the heads learn from: every source of other photographs weighs the same, however many it has."""
    rows = np.array(sorted(own), dtype=np.int64)
    others = np.union1d(photos.where(role="train"), photos.where(role="studio"))
    x = np.concatenate([vectors[others], *(views[row] for row in others.tolist() if row in views)])
    sources = [photos.photos[row].source for row in others]
    sources += [photos.photos[row].source for row in others.tolist() if row in views for _ in views[row]]
    return Lesson(
        vectors[rows],
        tuple(own[row] for row in rows.tolist()),
        np.array([photos.photos[row].coarse for row in rows]),
        np.array([fold_of(photos, row) for row in rows]),
        moments(x, np.array(sources)),
    )


def try_shrinkage(lesson: Lesson, shrinkage: float) -> Trial:
    """Return the heads of one shrinkage: of everything, without each fold, without each kind."""
    blind = np.empty(len(lesson.folds), dtype=np.float32)
    for fold in np.unique(lesson.folds):
        out = lesson.folds == fold
        blind[out] = lesson.head(~out, shrinkage)(lesson.vectors[out])
    kinds = np.unique(lesson.kinds).tolist()
    without = {kind: lesson.head(lesson.kinds != kind, shrinkage) for kind in kinds if len(kinds) > 1}
    return Trial(shrinkage, lesson.head(np.ones(len(blind), dtype=bool), shrinkage), blind, without)


def choose(trials: list[Trial], lesson: Lesson, held: Mapping[str, Vectors]) -> tuple[Trial, dict[str, Figure]]:
    """Return the trial that tells kinds it never saw best from the photographs `held` `(m, d)`, by source, and why.

    A trial counts by the source that it does worst on, kinds weighing the same. Out is what loses more than KNOWN_SLACK
    on the kinds it knows; of a single kind, these alone decide.
    """
    known = [worst_source(known_kinds(trial, lesson), held) for trial in trials]
    unseen = [worst_source(unseen_kinds(trial, lesson) or known_kinds(trial, lesson), held) for trial in trials]
    allowed = [place for place, value in enumerate(known) if value >= max(known) - KNOWN_SLACK]
    best = max(allowed, key=lambda place: unseen[place])
    n = len(lesson.kinds) + sum(map(len, held.values()))
    data = "AUROC against validation photographs, worst source, mean over kinds"
    found = {"sensitive.shrinkage": Figure(trials[best].shrinkage, None, n, "chosen by validation photographs")}
    for place, trial in enumerate(trials):
        found[f"sensitive.choice.known.{trial.shrinkage:g}"] = Figure(known[place], None, n, data)
        found[f"sensitive.choice.never_seen.{trial.shrinkage:g}"] = Figure(unseen[place], None, n, data)
    return trials[best], found


def known_kinds(trial: Trial, lesson: Lesson) -> Judged:
    """Return the logits of each kind by heads that know it and left the subject out, and the head that ships."""
    return {kind: (trial.blind[lesson.kinds == kind], trial.shipped) for kind in np.unique(lesson.kinds).tolist()}


def unseen_kinds(trial: Trial, lesson: Lesson) -> Judged:
    """Return the logits of each kind by the head that never saw it, and that head; nothing where there is one kind."""
    return {kind: (head(lesson.vectors[lesson.kinds == kind]), head) for kind, head in trial.without.items()}


def worst_source(judged: Judged, held: Mapping[str, Vectors]) -> float:
    """Return the AUROC against the source of `held` that is told apart worst, mean over kinds."""
    return float(min(np.mean([auroc(own, head(rows)) for own, head in judged.values()]) for rows in held.values()))


def thresholds(blind: Vectors, alarms: Vectors, settings: recipes.Heads) -> tuple[float, float]:
    """Return the logits from which a subject counts as sensitive, and from which it surely is.

    The lower one is the highest that keeps the miss rate's upper confidence bound at `sensitive_miss`; with too few
    photographs for that, the lowest blind logit. It is lowered to what `sensitive_alarm` of the good photographs allow,
    when that is lower still: where caution costs nothing, it is taken. The upper one leaves half of that alarm share.
    """
    ordered = np.sort(blind)
    allowed = [misses for misses in range(len(blind)) if upper_bound(misses, len(blind)) <= settings.sensitive_miss]
    low = float(ordered[max(allowed)]) if allowed else float(ordered[0])
    low = min(low, float(np.quantile(alarms, 1 - settings.sensitive_alarm)))
    return low, max(low, float(np.quantile(alarms, 1 - settings.sensitive_alarm / 2)))


def sensitive_figures(
    kinds: NDArray[np.str_], blind: Vectors, scores: dict[str, Vectors], low: float, high: float
) -> dict[str, Figure]:
    """Return AUROC, recall and miss rate of each kind and of all, and the false alarms of each group of other photographs."""
    found: dict[str, Figure] = {}
    for kind in ("all", *np.unique(kinds).tolist()):
        mine = blind if kind == "all" else blind[kinds == kind]
        data = f"{kind} sensitive photographs, subjects left out in turn"
        for name, others in scores.items():
            found[f"sensitive.auroc.{kind}.{name}"] = auroc_figure(mine, others, f"{data}, against {name}")
            limit = np.quantile(others, 1 - REPORTED_ALARM)
            said = f"{data}, at {REPORTED_ALARM:.0%} false alarms of {name}"
            found[f"sensitive.recall_at_1_percent.{kind}.{name}"] = share_figure(mine > limit, said)
        found[f"sensitive.missed.{kind}"] = share_figure(mine < low, f"{data} (threshold set on them)")
        found[f"sensitive.only_unsure.{kind}"] = share_figure((mine >= low) & (mine < high), data)
    for name, others in scores.items():
        found[f"sensitive.false_alarm.{name}"] = share_figure(others >= low, name)
    return found


def unseen_figures(trial: Trial, lesson: Lesson, tests: Mapping[str, Vectors]) -> dict[str, Figure]:
    """Return the AUROC of each kind by the head that never saw the kind, against each group of other photographs."""
    found: dict[str, Figure] = {}
    for kind, (mine, head) in unseen_kinds(trial, lesson).items():
        for name, rows in tests.items():
            data = f"{kind} photographs, the kind left out of training, against {name}"
            found[f"sensitive.auroc_kind_never_seen.{kind}.{name}"] = auroc_figure(mine, head(rows), data)
    return found


def rows_by_source(photos: PhotoSet, role: str) -> dict[str, Rows]:
    """Return the rows in `role` that are not sensitive, by source; `val` may choose, `test` only measures."""
    sources = dict.fromkeys(photo.source for photo in photos.photos if photo.kind != "sensitive")
    found = {source: photos.where(source=source, role=role) for source in sources}
    return {source: rows for source, rows in found.items() if len(rows)}


def asked_rows(photos: PhotoSet) -> dict[str, Rows]:
    """Return the photographs that raise false alarms, by source: its test photographs, or its val ones without any."""
    return {**rows_by_source(photos, "val"), **rows_by_source(photos, "test")}


def fold_of(photos: PhotoSet, row: int) -> int:
    """Return the fold of a sensitive photograph: by its subject (`instance`), or by its file where none is named."""
    photo = photos.photos[row]
    subject = photo.instance or photo.path.name
    return hashlib.sha256(f"{photo.source}/{subject}".encode()).digest()[0] % FOLDS


def squash(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))
