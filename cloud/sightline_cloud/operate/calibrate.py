"""An operator's own calibration: photographs whose item is known, asked of a tenant's catalogue.

Each is asked as the service asks, and once more of the catalogue without what it shows: then whatever is the nearest is
wrong. The vectors come from the catalogue, not from an index: it may be done beside a running service.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_cloud.engine import Engine
from sightline_cloud.index.filters import ARCHIVED, AVAILABLE
from sightline_cloud.live import LiveGeneration
from sightline_cloud.operate.asked import Asked
from sightline_cloud.rank.candidate import Candidate
from sightline_cloud.rank.categories import compatible
from sightline_cloud.rank.confidence import decision_folder
from sightline_cloud.rank.context import Context
from sightline_cloud.rank.evidence import gather
from sightline_shared.budget import Budget
from sightline_shared.confidence import Calibration
from sightline_shared.confidence_fit import Example, refit
from sightline_shared.errors import ConfigInvalid
from sightline_shared.evidence import FETCHED

Vectors = NDArray[np.float32]
Progress = Callable[[float], None]

# So many of the nearest are kept of each photograph: what is left when its own item is taken out must still be enough.
POOL = 200
QUERIES_AT_ONCE = 256
ITEM = "item"


def calibrate(
    engine: Engine, live: LiveGeneration, tenant: str, asked: Sequence[Asked], key: str, progress: Progress
) -> tuple[Calibration, list[Example]]:
    """Return the bundle's decision fitted to what `asked` find among the items of `tenant`, and the examples.

    A first match is right when its id (`key` "item") or its metadata under `key` is what the photograph shows. Raises
    ConfigInvalid for a bundle without a decision file and for what no item is; TrainingDataTooSmall.
    """
    base = live.bundle.calibration
    if base is None:
        raise ConfigInvalid(
            f"bundle {live.bundle.label}: expected one with a decision file, got one with two thresholds alone.",
            hint="Export the bundle again with this version.",
        )
    check_held(engine, live, tenant, asked, key)
    vectors = _decoded(asked, live)
    pks, cosines = nearest(engine, live, tenant, vectors, progress)
    examples: list[Example] = []
    for row, photo in enumerate(asked):
        found = _candidates(engine, live, tenant, pks[row], cosines[row])
        names = {candidate.pk: _shown(candidate.id, candidate.metadata, key) for candidate in found}
        kind = "known" if photo.shows else "far"
        examples += _example(photo, found, names, vectors[row : row + 1], kind, engine, live)
        if photo.shows:
            others = [candidate for candidate in found if names[candidate.pk] != photo.shows]
            examples += _example(photo, others, names, vectors[row : row + 1], "near", engine, live)
    known = sum(bool(photo.shows) for photo in asked)
    made_of = f"{known} photographs of items, {len(asked) - known} of other things"
    return refit(base, examples, made_of), examples


def check_held(engine: Engine, live: LiveGeneration, tenant: str, asked: Sequence[Asked], key: str) -> None:
    """Raise ConfigInvalid when a photograph shows what no item of the tenant is: it could only ever count as wrong."""
    missing = {photo.shows for photo in asked} - {""}
    with engine.store.feed(live.key).snapshot(tenant) as snapshot:
        for rows in snapshot.chunks:
            if key == ITEM:
                found = {item.id for item in engine.store.hydrate(tenant, rows.pks.tolist(), live.key).values()}
            else:
                found = {_shown("", metadata, key) for metadata in rows.metadata}
            missing -= found
            if not missing:
                return
    raise ConfigInvalid(
        f"column {key}: expected what items of tenant '{tenant}' are, got {len(missing)} that none is, "
        f"'{min(missing):.80}' among them.",
        hint="Leave the column empty for what the catalogue does not hold; --match names the key to compare.",
    )


def write_decision(data_dir: Path, live: LiveGeneration, tenant: str, calibration: Calibration) -> Path:
    """Write the tenant's decision file, whole or not at all; the service reads it at the next query."""
    folder = decision_folder(data_dir, live.bundle)
    folder.mkdir(parents=True, exist_ok=True)
    path, aside = folder / f"{tenant}.json", folder / f".{tenant}.json.new"
    with open(aside, "wb") as file:
        file.write(calibration.to_bytes())
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    return path


def summary(calibration: Calibration, base: Calibration, examples: Sequence[Example]) -> dict[str, Any]:
    """Return what the photographs showed and what the first model makes of them, for people."""
    known = [example for example in examples if example.kind == "known"]
    model = calibration.models[0]
    return {
        "known": len(known),
        "other": sum(example.kind == "far" for example in examples),
        "first_right": _mean([example.right for example in known]),
        "probability_before": _mean(_probabilities(base, known)),
        "probability_after": _mean(_probabilities(calibration, known)),
        "found_min": round(model.found_min, 4),
        "not_found_below": round(model.not_found_below, 4),
        "models": len(calibration.models),
    }


def nearest(
    engine: Engine, live: LiveGeneration, tenant: str, vectors: Vectors, progress: Progress
) -> tuple[NDArray[np.int64], Vectors]:
    """Return the pks and cosines `(n, m)` of the items nearest to `vectors` `(n, d)`, best first, m at most POOL."""
    pks, cosines = np.empty((len(vectors), 0), np.int64), np.empty((len(vectors), 0), np.float32)
    with engine.store.feed(live.key).snapshot(tenant) as snapshot:
        done = 0
        for rows in snapshot.chunks:
            found = rows.vectors.astype(np.float32)
            for start in range(0, len(vectors), QUERIES_AT_ONCE):
                block = slice(start, start + QUERIES_AT_ONCE)
                more = vectors[block] @ found.T
                kept = np.argsort(-more, axis=1, kind="stable")[:, :POOL]
                best = np.take_along_axis(more, kept, axis=1)
                if start == 0:
                    width = kept.shape[1]
                    pks = np.concatenate([pks, np.zeros((len(vectors), width), np.int64)], axis=1)
                    cosines = np.concatenate([cosines, np.zeros((len(vectors), width), np.float32)], axis=1)
                pks[block, -width:], cosines[block, -width:] = rows.pks[kept], best
            order = np.argsort(-cosines, axis=1, kind="stable")[:, :POOL]
            pks, cosines = np.take_along_axis(pks, order, axis=1), np.take_along_axis(cosines, order, axis=1)
            done += len(rows)
            progress(done / max(1, snapshot.count))
    return pks, cosines


def _decoded(asked: Sequence[Asked], live: LiveGeneration) -> Vectors:
    codes = np.frombuffer(b"".join(photo.code for photo in asked), np.uint8).reshape(len(asked), -1)
    vectors = live.codec.decode(codes)
    unit: Vectors = (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    return unit


def _candidates(
    engine: Engine, live: LiveGeneration, tenant: str, pks: NDArray[np.int64], cosines: Vectors
) -> list[Candidate]:
    """Return the items that may be answered, nearest first."""
    stored = engine.store.hydrate(tenant, pks.tolist(), live.key)
    return [
        Candidate(pk, item.id, min(cosine, 1.0), 0, item.metadata, item.code)
        for pk, cosine in zip(pks.tolist(), cosines.tolist(), strict=True)
        if (item := stored.get(pk))
        and item.metadata.get(AVAILABLE) is not False
        and item.metadata.get(ARCHIVED) is not True
    ]


def _example(
    photo: Asked,
    found: list[Candidate],
    names: dict[int, str],
    vector: Vectors,
    kind: str,
    engine: Engine,
    live: LiveGeneration,
) -> Iterator[Example]:
    """Yield the evidence for the first of `found` as the service ranks them; nothing of nothing."""
    near, heads = found[:FETCHED], live.bundle.heads
    if not near:
        return
    fits = None
    if heads:
        semantic, probabilities = heads.semantic, heads.semantic.probabilities(vector)[0]
        fits = lambda each: compatible(each.metadata.get("category"), probabilities, semantic.labels)  # noqa: E731
    context = Context(near, 1, live.codec, compatibility=fits)
    first = engine.ranking.run(near, context, Budget()).candidates[0]
    evidence = gather(first, near, (photo.gate_score,), vector, heads)
    yield Example(evidence, kind == "known" and names[first.pk] == photo.shows, kind)


def _shown(item_id: str, metadata: Mapping[str, Any], key: str) -> str:
    return item_id if key == ITEM else str(metadata.get(key, ""))


def _probabilities(calibration: Calibration, examples: Sequence[Example]) -> list[float]:
    judged = [(calibration.model(one.evidence), one.evidence) for one in examples]
    return [model.probability(evidence, calibration.domain(evidence)) for model, evidence in judged if model]


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None
