"""Does a session's query expansion help? Pairs of photographs, one after the other, through the SDK's own `Session`.

The user photographs something, and then (a) the same product again, (b) another one, or (c) the one among the others whose
photograph looks most like the first. The gain is (a); what is lost in (b) and (c) is the harm.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_bench.packs import Photo
from sightline_bench.quality.tables import percent
from sightline_edge import Answer, Device, Match, Outcome, Session
from sightline_edge.rerank import unit
from sightline_export.evaluate import Figure, mean_figure

Vectors = NDArray[np.float32]
Followers = Callable[[int], int | None]


def measure(
    photos: tuple[Photo, ...], queries: Vectors, gallery: tuple[Photo, ...], vectors: Vectors, device: Device,
    near_cosines: tuple[float, ...],
) -> dict[str, dict[str, dict[str, Figure]]]:  # fmt: skip
    """Return for each threshold and each case R@1 without and with expansion, their difference, and the share expanded.

    `queries` `(n, d)` are the embeddings of `photos`, `vectors` `(m, d)` those of `gallery`.
    """
    labels = np.array([f"{photo.domain}/{photo.fine}" for photo in gallery])
    wanted = [f"{photo.domain}/{photo.fine}" for photo in photos]
    codes = device.codec.encode(vectors)
    first = _nearest(queries, vectors, device)
    cases = {"the same again": _again(wanted), "another": _another(wanted), "a look-alike": _like(wanted, queries)}
    table: dict[str, dict[str, dict[str, Figure]]] = {}
    for near_cosine in near_cosines:
        table[f"{near_cosine:g}"] = {}
        for name, follower in cases.items():
            pairs = [(one, two) for one in range(len(photos)) if (two := follower(one)) is not None]
            if not pairs:  # rendered items have one photograph each
                continue
            expanded = []
            for one, two in pairs:
                session = Session(near_cosine=near_cosine)
                row, score = first[one]
                session.note(_said(row, score, codes, device), device.codec)
                expanded.append(session.expand(queries[two]))
            seconds = [two for _, two in pairs]
            plain = _right(queries[seconds], vectors, labels, [wanted[two] for two in seconds], device)
            helped = _right(np.stack(expanded), vectors, labels, [wanted[two] for two in seconds], device)
            changed = np.array(
                [
                    new is not queries[two] and not np.array_equal(new, queries[two])
                    for new, two in zip(expanded, seconds, strict=True)
                ]
            )
            table[f"{near_cosine:g}"][name] = {
                "plain R@1": mean_figure(plain),
                "expanded R@1": mean_figure(helped),
                "difference": mean_figure(helped - plain),
                "queries expanded": mean_figure(changed.astype(np.float64)),
            }
    return table


def _said(row: int, score: float, codes: NDArray[np.uint8], device: Device) -> Answer:
    """Return the service's answer to the first photograph, as far as a session looks at it."""
    found = score >= device.bundle.manifest.decision["found_min_score"]
    match = Match(str(row), score, code=codes[row].tobytes())
    return Answer(Outcome.FOUND if found else Outcome.UNSURE, "cloud", matches=(match,))


def _nearest(queries: Vectors, vectors: Vectors, device: Device) -> list[tuple[int, float]]:
    cosines = _sent(queries, device) @ vectors.T
    return list(zip(cosines.argmax(axis=1).tolist(), cosines.max(axis=1).tolist(), strict=True))


def _right(
    queries: Vectors, vectors: Vectors, labels: NDArray[np.str_], wanted: list[str], device: Device
) -> NDArray[np.float64]:
    best = (_sent(queries, device) @ vectors.T).argmax(axis=1)
    right: NDArray[np.float64] = (labels[best] == np.array(wanted)).astype(np.float64)
    return right


def _sent(queries: Vectors, device: Device) -> Vectors:
    return unit(device.codec.decode(device.codec.encode(queries)))


def _again(wanted: list[str]) -> Followers:
    """The next photograph of the same product, the first again after the last."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, label in enumerate(wanted):
        rows[label].append(row)
    following = {
        one: two for own in rows.values() if len(own) > 1 for one, two in zip(own, [*own[1:], own[0]], strict=True)
    }
    return following.get


def _another(wanted: list[str]) -> Followers:
    """A photograph of another product, drawn with a fixed seed."""
    rng = np.random.default_rng(0)
    drawn = {}
    for row, label in enumerate(wanted):
        other = int(rng.integers(len(wanted)))
        while wanted[other] == label:
            other = (other + 1) % len(wanted)
        drawn[row] = other
    return drawn.get


def _like(wanted: list[str], queries: Vectors) -> Followers:
    """The photograph of another product that looks most like this one."""
    labels = np.array(wanted)

    def nearest(row: int) -> int:
        cosines = queries @ queries[row]
        cosines[labels == labels[row]] = -np.inf
        return int(cosines.argmax())

    return nearest


def as_text(result: dict[str, Any]) -> str:
    """Return the table of one result."""
    lines = [
        f"{result['scenario']['source']}; n {result['scenario']['n']}; 95 % bootstrap intervals",
        "",
        "| near_cosine | the second photograph shows | R@1 plain | R@1 expanded | difference | expanded |",
        "|---|---|---|---|---|---|",
    ]
    for near_cosine, cases in result["expansion"].items():
        for name, row in cases.items():
            lines.append(f"| {near_cosine} | {name} | " + " | ".join(percent(row[key]) for key in row) + " |")
    return "\n".join(lines)
