"""The table of bytes against recall: codes of several sizes and methods on the same embeddings, before and after re-rank.

A code stands for the query alone, as on the wire: the service searches its float vectors with the decoded query and sends
20 items back with their codes; the device scores them again with its float query (`sightline_edge.rerank`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sightline_export.data import PhotoSet
from sightline_export.evaluate import Figure, average_precision_at, hits_at, mean_figure
from sightline_export.figures import sources_of
from sightline_export.recipe import Codec as Settings
from sightline_export.teacher import normalise
from sightline_export.train_codec import lloyd, train_codebooks, train_codec, train_wide_codec
from sightline_shared.codec import Codec

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]

RETURNED = 20
DEPTH = 10
SIZES = (32, 64, 96)
REFERENCE_BYTES = 64
MOST_BITS = 8
COLUMNS = ("R@1", "mAP@10", "overlap@10", "top10_in_20", "reranked.R@1", "reranked.mAP@10", "reranked.overlap@10")


class Coder(Protocol):
    """Anything that turns vectors into few bytes and back."""

    def roundtrip(self, vectors: Vectors) -> Vectors:
        """Return what `vectors` `(n, d) float32` are after encoding and decoding."""
        ...


@dataclass(frozen=True, eq=False)
class Quantizer:
    """A `Codec` as a coder."""

    codec: Codec

    def roundtrip(self, vectors: Vectors) -> Vectors:
        return self.codec.decode(self.codec.encode(vectors))


@dataclass(frozen=True, eq=False)
class Transform:
    """Transform coding (Brandt, CVPR 2010): PCA, then a scalar quantizer with its own number of bits for each component.

    `axes` `(d, d)` has a component a column; `levels[i]` are the sorted values that component i may take.
    """

    mean: Vectors
    axes: Vectors
    levels: tuple[Vectors, ...]

    def roundtrip(self, vectors: Vectors) -> Vectors:
        turned = (vectors - self.mean) @ self.axes
        for component, levels in enumerate(self.levels):
            edges = (levels[1:] + levels[:-1]) / 2
            turned[:, component] = levels[np.searchsorted(edges, turned[:, component])]
        return np.asarray(turned @ self.axes.T + self.mean, dtype=np.float32)


@dataclass(frozen=True)
class Ask:
    """One group of queries and the gallery they ask, by row; with `itself` row i of the gallery is query i."""

    name: str
    queries: Rows
    gallery: Rows
    itself: bool


def codec_table(
    photos: PhotoSet,
    vectors: Vectors,
    training: Vectors,
    gallery: Vectors,
    shipped: Codec,
    settings: Settings,
    seed: int,
) -> dict[str, dict[str, Figure]]:
    """Return each coder's figures by name; `training` `(m, d)` trains them all, `shipped` is the bundle's own."""
    table: dict[str, dict[str, Figure]] = {}
    asks = questions(photos)
    for name, coder in coders(training, gallery, shipped, settings, seed).items():
        table[name] = {}
        decoded = normalise(coder.roundtrip(vectors))
        for ask in asks:
            table[name] |= ask_figures(photos, vectors, decoded, ask)
    return table


def coders(training: Vectors, gallery: Vectors, shipped: Codec, settings: Settings, seed: int) -> dict[str, Coder]:
    """Return the coders of the table, the shipped one first; sizes that the dimension cannot hold are left out."""
    dim = training.shape[1]
    found: dict[str, Coder] = {f"shipped, {shipped.code_size} bytes": Quantizer(shipped)}
    for size in SIZES:
        if size <= dim:
            codec = train_codec(
                training, size, settings.iterations, seed, weighting=settings.weighting, gallery=gallery
            )
            found[f"PCA-OPQ weighted, {size} bytes"] = Quantizer(codec)
    if dim % REFERENCE_BYTES == 0:
        plain = train_codec(training, REFERENCE_BYTES, settings.iterations, seed)
        found[f"PCA-OPQ unweighted, {REFERENCE_BYTES} bytes"] = Quantizer(plain)
        found[f"PQ, {REFERENCE_BYTES} bytes"] = Quantizer(
            train_plain(training, REFERENCE_BYTES, settings.iterations, seed)
        )
        found[f"transform coding, {REFERENCE_BYTES} bytes"] = train_transform(training, 8 * REFERENCE_BYTES, seed)
    found[f"SQ8, {dim} bytes"] = Quantizer(train_wide_codec(training))
    return found


def train_plain(vectors: Vectors, subspaces: int, iterations: int, seed: int) -> Codec:
    """Return product quantization without a rotation (Jegou et al., PAMI 2011)."""
    mean = vectors.mean(axis=0)
    books = train_codebooks(vectors - mean, subspaces, iterations, seed)
    return Codec(mean, np.eye(len(mean), dtype=np.float32), books)


def train_transform(vectors: Vectors, bits: int, seed: int) -> Transform:
    """Return transform coding with `bits` bits in all, given one by one to the component with the largest error left."""
    mean = vectors.mean(axis=0)
    centred = (vectors - mean).astype(np.float64)
    values, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    turned = (centred @ axes).astype(np.float32)
    given = allocate(values, bits)
    levels = tuple(
        np.sort(lloyd(turned[:, [component]], 1 << int(count), 12, seed), axis=0)[:, 0]
        if count
        else np.zeros(1, np.float32)
        for component, count in enumerate(given)
    )
    return Transform(mean, axes.astype(np.float32), levels)


def allocate(variances: NDArray[np.float64], bits: int) -> NDArray[np.int64]:
    """Return the bits of each component `(d,)`: each bit quarters the error of the component that has the largest."""
    errors = np.maximum(variances, 0.0).copy()
    given = np.zeros(len(errors), dtype=np.int64)
    for _ in range(min(bits, MOST_BITS * len(errors))):
        chosen = int(np.argmax(np.where(given < MOST_BITS, errors, -1.0)))
        given[chosen] += 1
        errors[chosen] /= 4
    return given


def questions(photos: PhotoSet) -> list[Ask]:
    """Return who asks whom: each source's test (else validation) photographs, and unseen outside classes themselves."""
    asks = []
    for source in sources_of(photos, "catalogue"):
        queries = photos.where(source=source, role="test")
        if not len(queries):
            queries = photos.where(source=source, role="val")
        gallery = np.union1d(photos.where(source=source, role="train"), photos.where(source=source, studio=True))
        if len(queries) and len(gallery) >= RETURNED:
            asks.append(Ask(source, queries, gallery, False))
    for source in sources_of(photos, "outside"):
        for name, rows in (
            ("all", photos.where(source=source)),
            ("unseen", photos.where(source=source, held_out=True)),
        ):
            if len(rows) > RETURNED:
                asks.append(Ask(f"{source}.{name}", rows, rows, True))
    return asks


def ask_figures(photos: PhotoSet, vectors: Vectors, decoded: Vectors, ask: Ask) -> dict[str, Figure]:
    """Return the columns of one group; row i of `vectors` and of `decoded` `(n, d)` is photograph i."""
    queries, sent, gallery = vectors[ask.queries], decoded[ask.queries], vectors[ask.gallery]
    truth = best(queries @ gallery.T, DEPTH, ask.itself)
    served_scores = sent @ gallery.T
    served = best(served_scores, RETURNED, ask.itself)
    # What edge/rerank.py does: add (q - q') . g' to the service's score of each returned item.
    corrections = np.einsum("nd,nkd->nk", queries - sent, decoded[ask.gallery][served])
    scored = np.take_along_axis(served_scores, served, axis=1) + corrections
    order = np.argsort(-scored, axis=1, kind="stable")
    reranked = np.take_along_axis(served, order, axis=1)
    labels = np.array([photo.fine for photo in photos.photos])
    wanted, given = labels[ask.queries], labels[ask.gallery]
    totals = (wanted[:, None] == given[None, :]).sum(axis=1) - int(ask.itself)
    data = f"{ask.name}, {len(ask.queries)} queries, {len(ask.gallery)} in the gallery"
    figures = {
        "overlap@10": mean_figure(shared(truth, served[:, :DEPTH]), data),
        "top10_in_20": mean_figure(shared(truth, served), data),
        "reranked.overlap@10": mean_figure(shared(truth, reranked[:, :DEPTH]), data),
    }
    answerable = (totals > 0) & (wanted != "")
    for prefix, rows in (("float.", truth), ("", served), ("reranked.", reranked)):
        if answerable.any():
            hits = given[rows[answerable]] == wanted[answerable, None]
            figures[f"{prefix}R@1"] = mean_figure(hits_at(hits, 1), data)
            figures[f"{prefix}mAP@10"] = mean_figure(average_precision_at(hits, totals[answerable], DEPTH), data)
    return {f"{ask.name}.{name}": figure for name, figure in figures.items()}


def best(scores: Vectors, count: int, itself: bool) -> Rows:
    """Return the `count` best columns `(n, count)` of each row, best first; with `itself` never the row's own."""
    if itself:
        scores = scores.copy()
        np.fill_diagonal(scores, -np.inf)
    order: Rows = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return order


def shared(truth: Rows, other: Rows) -> NDArray[np.float64]:
    """Return the share of each row of `truth` `(n, k)` that the same row of `other` holds as well: `(n,)`."""
    return np.asarray((truth[:, :, None] == other[:, None, :]).any(axis=2).mean(axis=1), dtype=np.float64)


def write_table(folder: Path, table: dict[str, dict[str, Figure]]) -> None:
    """Write `folder`/codec.json and `folder`/codec.md."""
    body = {name: {key: figure.to_dict() for key, figure in row.items()} for name, row in table.items()}
    (folder / "codec.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    (folder / "codec.md").write_text("\n".join(table_lines(table)) + "\n", encoding="utf-8")


def flat(table: dict[str, dict[str, Figure]]) -> dict[str, Figure]:
    """Return the table as figures "codec.GROUP, CODER.COLUMN", for the report and the model card.

    Group by group, so that the coders stand below each other; mean average precision stays in codec.md.
    """
    found: dict[str, Figure] = {}
    first = next(iter(table.values()))
    for group in dict.fromkeys(key.rpartition(".")[0] for key in first):
        plain = group.removesuffix(".reranked")
        if plain != group or group.endswith(".float"):
            continue
        for coder, row in table.items():
            for key, figure in row.items():
                asked, _, column = key.rpartition(".")
                if column != "mAP@10" and asked.removesuffix(".reranked") == plain:
                    found[f"codec.{plain}, {coder}.{column}{' re-ranked' if asked != plain else ''}"] = figure
    return found


def table_lines(table: dict[str, dict[str, Figure]]) -> Sequence[str]:
    """Return the table as Markdown, one section a group."""
    first = next(iter(table.values()))
    lines = ["# Bytes against recall", "", "Value [95 % interval]. `float` is the search with the uncoded query."]
    for group in dict.fromkeys(name.rpartition(".overlap@10")[0] for name in first if name.endswith("overlap@10")):
        if group.endswith(".reranked"):
            continue
        lines += ["", f"## {group}: n = {first[f'{group}.overlap@10'].n}", ""]
        lines += ["| code | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
        exact = [first.get(f"{group}.float.{column}") for column in COLUMNS]
        lines.append("| float | " + " | ".join(_cell(figure) for figure in exact) + " |")
        for name, row in table.items():
            cells = [_cell(row.get(f"{group}.{column}")) for column in COLUMNS]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _cell(figure: Figure | None) -> str:
    if figure is None or figure.interval is None:
        return "-"
    return f"{figure.value:.3f} [{figure.interval[0]:.3f}, {figure.interval[1]:.3f}]"
