"""How much does a code tell about the photograph? Attributes inferred from it, against inferring them from the embedding.

Whoever has the codec, which is in every app, decodes a code to an approximate embedding. A linear probe (ridge regression on
one-hot classes) is the weakest of attackers: what it reads, anyone can. The second question is linking: given the codes of
some photographs and the photographs themselves, or others of the same things, which belongs to which?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline_bench.packs import Photo
from sightline_bench.quality.tables import percent
from sightline_edge import Device
from sightline_edge.rerank import unit
from sightline_export.evaluate import Figure, mean_figure, statistic_figure

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]
RIDGE = 1e-2


@dataclass(frozen=True, eq=False)
class Seen:
    """Photographs and what is known of them: `float32` `(n, d)` embeddings, `code` `(n, d)` what their codes decode to."""

    photos: tuple[Photo, ...]
    views: dict[str, Vectors]

    @classmethod
    def of(cls, photos: tuple[Photo, ...], embeddings: Vectors, device: Device) -> Seen:
        decoded = unit(device.codec.decode(device.codec.encode(embeddings)))
        return cls(photos, {"float embedding": embeddings, f"{device.codec.code_size}-byte code": decoded})


def attributes(photos: Sequence[Photo]) -> dict[str, NDArray[np.str_]]:
    """Return what there is to infer, as classes; "" where a photograph has none."""
    return {
        "kind of picture (domain)": np.array([photo.domain for photo in photos]),
        "coarse category": np.array([f"{photo.domain}/{photo.coarse}" for photo in photos]),
        "fine category": np.array([f"{photo.domain}/{photo.fine}" for photo in photos]),
        "the very product": np.array([photo.instance for photo in photos]),
    }


def looks(photos: Sequence[Photo]) -> dict[str, Floats]:
    """Return numbers about the scene itself that no catalogue needs: brightness, colour cast, contrast."""
    rows = []
    for photo in photos:
        with Image.open(photo.path) as image:
            pixels = np.asarray(image.convert("YCbCr").resize((32, 32), Image.Resampling.BOX), np.float64)
        rows.append([*pixels.reshape(-1, 3).mean(axis=0), pixels[..., 0].std()])
    columns = np.array(rows).reshape(len(rows), 4).T
    return dict(zip(("brightness", "blue cast", "red cast", "contrast"), columns, strict=True))


def measure(train: Seen, test: Seen) -> dict[str, dict[str, dict[str, Figure]]]:
    """Return accuracies and explained shares, by view: fitted on `train`, told of `test`."""
    table: dict[str, dict[str, dict[str, Figure]]] = {"classes": {}, "numbers": {}}
    theirs, ours = attributes(train.photos), attributes(test.photos)
    for name, labels in theirs.items():
        known, asked = labels != "", np.isin(ours[name], labels[labels != ""]) & (ours[name] != "")
        if not asked.any() or len(set(labels[known])) < 2:
            continue
        row = {
            view: mean_figure(_classified(rows[known], labels[known], test.views[view][asked], ours[name][asked]))
            for view, rows in train.views.items()
        }
        row["the commonest guess"] = mean_figure((ours[name][asked] == _commonest(labels[known])).astype(np.float64))
        table["classes"][name] = row
    theirs_n, ours_n = looks(train.photos), looks(test.photos)
    for name, values in theirs_n.items():
        if not np.ptp(ours_n[name]):
            continue
        table["numbers"][name] = {
            view: _explained(rows, values, test.views[view], ours_n[name]) for view, rows in train.views.items()
        }
    return table


def linking(test: Seen) -> dict[str, dict[str, Figure]]:
    """Return how often a code is nearest to its own photograph, and to another one of the same product."""
    exact, coded = test.views.values()
    own, others = coded @ exact.T, coded @ coded.T
    np.fill_diagonal(others, -np.inf)
    instances = np.array([photo.instance for photo in test.photos])
    counts = {name: int((instances == name).sum()) for name in set(instances)}
    twice = np.array([bool(name) and counts[name] > 1 for name in instances])
    table = {
        "a code and its photograph": {
            "nearest": mean_figure((own.argmax(axis=1) == np.arange(len(own))).astype(np.float64)),
            "chance": _constant(1 / len(own), len(own)),
        }
    }
    if twice.any():
        table["two codes of one product"] = {
            "nearest": mean_figure((instances[others[twice].argmax(axis=1)] == instances[twice]).astype(np.float64)),
            "chance": mean_figure(np.array([(counts[name] - 1) / (len(own) - 1) for name in instances[twice]])),
        }
    return table


def _constant(value: float, n: int) -> Figure:
    return Figure(value, (value, value), n)


def _ridge(rows: Vectors, targets: Floats) -> tuple[Floats, Floats, Floats]:
    centre, mean = rows.mean(axis=0, dtype=np.float64), targets.mean(axis=0)
    own = rows - centre
    scale = RIDGE * np.trace(own.T @ own) / own.shape[1]
    return centre, mean, np.linalg.solve(own.T @ own + scale * np.eye(own.shape[1]), own.T @ (targets - mean))


def _classified(rows: Vectors, labels: NDArray[np.str_], asked: Vectors, right: NDArray[np.str_]) -> Floats:
    names, numbers = np.unique(labels, return_inverse=True)
    centre, mean, matrix = _ridge(rows, np.eye(len(names))[numbers])
    guessed = names[((asked - centre) @ matrix + mean).argmax(axis=1)]
    hits: Floats = (guessed == right).astype(np.float64)
    return hits


def _explained(rows: Vectors, values: Floats, asked: Vectors, true: Floats) -> Figure:
    centre, mean, matrix = _ridge(rows, values[:, None])
    errors = true - ((asked - centre) @ matrix + mean)[:, 0]
    spread = np.var(true)
    return statistic_figure(errors**2, lambda squares: float(1 - squares.mean() / spread))


def _commonest(labels: NDArray[np.str_]) -> str:
    names, counts = np.unique(labels, return_counts=True)
    return str(names[counts.argmax()])


def as_text(result: dict[str, Any]) -> str:
    """Return the tables of one result."""
    told = result["scenario"]
    lines = [f"{told['source']}; fitted on {told['n_train']}, told of {told['n']}; 95 % bootstrap intervals"]
    views = list(next(iter(result["inferred"]["numbers"].values())))
    heads = (
        ("classes", "inferred, right", [*views, "the commonest guess"]),
        ("numbers", "explained share (R²)", views),
    )
    for group, title, columns in heads:
        lines += ["", f"| {title} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        for name, row in result["inferred"][group].items():
            lines.append(f"| {name} | " + " | ".join(percent(row[column]) for column in columns) + " |")
    lines += ["", "| linked | nearest is right | by chance |", "|---|---|---|"]
    lines += [
        f"| {name} | {percent(row['nearest'])} | {percent(row['chance'])} |" for name, row in result["linked"].items()
    ]
    return "\n".join(lines)
