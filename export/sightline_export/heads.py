"""Training the heads: a softmax over categories, and the sensitive head with thresholds from a target miss rate.

The sensitive photographs come from sources of kind "sensitive". One person's photographs stay on one side: those with the
same `instance` are all in training or all in validation, and the head that is reported is the one that never saw them.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from sightline_export import recipe as recipes
from sightline_export.bounds import share_figure, upper_bound
from sightline_export.data import PhotoSet
from sightline_export.evaluate import Figure, auroc_figure, mean_figure
from sightline_export.linear import fit_softmax
from sightline_export.workspace import Run
from sightline_shared.heads import Heads, Semantic, Sensitive

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]
FOLDS = 5
# The share of all training weight that the sensitive photographs get, however few they are.
SENSITIVE_SHARE = 0.3
BINS = 10


def fit_heads(run: Run, photos: PhotoSet, vectors: Vectors, model: bytes) -> tuple[Heads, dict[str, Figure]]:
    """Return the heads for the shipped student's embeddings `(n, d)` of all photographs, and their figures."""
    settings = run.recipe.heads
    views = augmented_vectors(run, photos, model, photos.where(role="train", kind="catalogue"), settings.views)
    semantic, found = fit_semantic(photos, vectors, views, settings)
    sensitive: Sensitive | None = None
    rows = photos.where(kind="sensitive")
    if len(rows):
        own = augmented_vectors(run, photos, model, rows, settings.sensitive_views)
        sensitive, figures = fit_sensitive(photos, vectors, own, views, settings)
        found |= figures
    return Heads(semantic, sensitive), found


def augmented_vectors(run: Run, photos: PhotoSet, model: bytes, rows: Rows, count: int) -> dict[int, Vectors]:
    """Return `count` augmented views' embeddings `(count, d)` of each row, by row."""
    label = "sensitive head" if len(rows) and photos.photos[rows[0]].kind == "sensitive" else "semantic head"
    return dict(zip(rows.tolist(), run.views(label, model, photos, rows, count), strict=True))


def fit_semantic(
    photos: PhotoSet, vectors: Vectors, views: dict[int, Vectors], settings: recipes.Heads
) -> tuple[Semantic, dict[str, Figure]]:
    """Return the softmax over the training photographs' categories, with accuracy and calibration on held-out ones."""
    train = np.array([row for row in photos.where(role="train", kind="catalogue") if photos.photos[row].labelled])
    labels = tuple(sorted({photos.photos[row].coarse for row in train}))
    numbers = {label: number for number, label in enumerate(labels)}
    x = np.concatenate([vectors[train], *(views[row] for row in train)])
    y = [numbers[photos.photos[row].coarse] for row in train]
    y += [numbers[photos.photos[row].coarse] for row in train for _ in views[row]]
    weight, bias = fit_softmax(x, np.asarray(y, np.int64), len(labels), decay=settings.decay)
    head = Semantic(labels, weight, bias)
    found: dict[str, Figure] = {}
    for source in dict.fromkeys(photo.source for photo in photos.photos if photo.kind == "catalogue"):
        for role in ("val", "test"):
            rows = [
                r for r in photos.where(source=source, role=role, studio=False) if photos.photos[r].coarse in numbers
            ]
            if len(rows):
                truth = np.array([numbers[photos.photos[row].coarse] for row in rows])
                shares, data = head.probabilities(vectors[rows]), f"{source} {role}"
                right = (shares.argmax(axis=1) == truth).astype(np.float64)
                found[f"semantic.accuracy.{source}.{role}"] = mean_figure(right, data)
                error = calibration_error(shares.max(axis=1), right)
                found[f"semantic.calibration_error.{source}.{role}"] = Figure(error, None, len(rows), data)
    return head, found


def calibration_error(confidence: Vectors, right: NDArray[np.float64]) -> float:
    """Return the expected calibration error over BINS bins of equal width (Guo et al., ICML 2017, equation 3)."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [
        abs(float(right[bins == number].mean()) - float(confidence[bins == number].mean()))
        * float((bins == number).mean())
        for number in range(BINS)
        if (bins == number).any()
    ]
    return float(sum(gaps))


def fit_sensitive(
    photos: PhotoSet, vectors: Vectors, own: dict[int, Vectors], views: dict[int, Vectors], settings: recipes.Heads
) -> tuple[Sensitive, dict[str, Figure]]:
    """Return the sensitive head and what it does to photographs that it has not seen.

    Thresholds and figures come from FOLDS heads that each leave a fifth of the subjects out; the head that ships learns
    from all. Leave-one-kind-out figures come from heads that never saw the kind.
    """
    rows = np.array(sorted(own), dtype=np.int64)
    kinds = np.array([photos.photos[row].coarse for row in rows])
    folds = np.array([fold_of(photos, row) for row in rows])
    trained_on = np.concatenate([photos.where(role="train"), photos.where(role="studio")])
    others = np.setdiff1d(trained_on, rows)
    negatives = np.concatenate([vectors[others], *(views[row] for row in others.tolist() if row in views)])

    def head(chosen: Rows) -> tuple[Vectors, float]:
        positives = np.concatenate([vectors[chosen], *(own[row] for row in chosen.tolist())])
        return fit_logistic(positives, negatives, settings.decay)

    def logits(fitted: tuple[Vectors, float], asked: Rows) -> Vectors:
        return np.asarray(vectors[asked] @ fitted[0] + fitted[1], dtype=np.float32)

    blind = np.empty(len(rows), dtype=np.float32)
    for fold in range(FOLDS):
        out = folds == fold
        if out.any() and not out.all():
            blind[out] = logits(head(rows[~out]), rows[out])
    shipped = head(rows)
    low, high = thresholds(blind, logits(shipped, good_rows(photos, "val")), settings)
    tests = {name: rows for name, rows in asked_rows(photos).items() if len(rows)}
    scores = {name: logits(shipped, rows) for name, rows in tests.items()}
    found = sensitive_figures(kinds, blind, scores, low, high)
    for kind in np.unique(kinds):
        if len(np.unique(kinds)) > 1:
            left = head(rows[kinds != kind])
            unseen = logits(left, rows[kinds == kind])
            for name, against in tests.items():
                data = f"{kind} photographs, the kind left out of training, against {name}"
                found[f"sensitive.auroc_kind_never_seen.{kind}.{name}"] = auroc_figure(
                    unseen, logits(left, against), data
                )

    def squash(value: float) -> float:
        return float(1 / (1 + np.exp(-value)))

    return Sensitive(tuple(np.unique(kinds).tolist()), shipped[0], shipped[1], squash(low), squash(high)), found


def fit_logistic(positives: Vectors, negatives: Vectors, decay: float) -> tuple[Vectors, float]:
    """Return weight `(d,)` and bias of a logistic regression in which the positives weigh SENSITIVE_SHARE of all."""
    x = np.concatenate([positives, negatives])
    y = np.concatenate([np.ones(len(positives), np.int64), np.zeros(len(negatives), np.int64)])
    weights = np.where(y == 1, SENSITIVE_SHARE / len(positives), (1 - SENSITIVE_SHARE) / len(negatives))
    matrix, bias = fit_softmax(x, y, 2, decay=decay, weights=weights.astype(np.float32))
    return matrix[1] - matrix[0], float(bias[1] - bias[0])


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
    """Return AUROC and miss rate of each kind and of all, and the false alarms of each group of other photographs."""
    found: dict[str, Figure] = {}
    for kind in ("all", *np.unique(kinds).tolist()):
        mine = blind if kind == "all" else blind[kinds == kind]
        data = f"{kind} sensitive photographs, subjects left out in turn"
        for name, others in scores.items():
            found[f"sensitive.auroc.{kind}.{name}"] = auroc_figure(mine, others, f"{data}, against {name}")
        found[f"sensitive.missed.{kind}"] = share_figure(mine < low, f"{data} (threshold set on them)")
        found[f"sensitive.only_unsure.{kind}"] = share_figure((mine >= low) & (mine < high), data)
    for name, others in scores.items():
        found[f"sensitive.false_alarm.{name}"] = share_figure(others >= low, name)
    return found


def good_rows(photos: PhotoSet, role: str) -> Rows:
    """Return the rows in `role` that are not sensitive; `val` may set thresholds, `test` only measures."""
    return np.array([row for row in photos.where(role=role) if photos.photos[row].kind != "sensitive"], dtype=np.int64)


def asked_rows(photos: PhotoSet) -> dict[str, Rows]:
    """Return the photographs that raise false alarms, by source: its test photographs, or its val ones without any."""
    found: dict[str, Rows] = {}
    for source in dict.fromkeys(photo.source for photo in photos.photos if photo.kind != "sensitive"):
        test = photos.where(source=source, role="test")
        found[source] = test if len(test) else photos.where(source=source, role="val")
    return found


def fold_of(photos: PhotoSet, row: int) -> int:
    """Return the fold of a sensitive photograph: by its subject (`instance`), or by its file where none is named."""
    photo = photos.photos[row]
    subject = photo.instance or photo.path.name
    return hashlib.sha256(f"{photo.source}/{subject}".encode()).digest()[0] % FOLDS
