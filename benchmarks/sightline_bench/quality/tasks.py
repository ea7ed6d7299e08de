"""Which photographs are searched in which gallery, and what counts as right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline_bench.packs import Photo, read_pack, select
from sightline_bench.samples import distractor, make_items, phone_view, write_catalogue


@dataclass(frozen=True)
class Task:
    """Queries against one gallery (by name); a match is right when `label` ("fine" or "instance") and domain agree."""

    name: str
    gallery: str
    queries: tuple[Photo, ...]
    label: str = "fine"


@dataclass(frozen=True)
class Suite:
    """Galleries by name, tasks over them, strangers that no gallery can answer, and subjects that must not be answered.

    `copies` are photographs, each with a near-duplicate that was made of it.
    """

    source: str
    galleries: dict[str, tuple[Photo, ...]]
    tasks: tuple[Task, ...]
    strangers: tuple[Photo, ...]
    sensitive: tuple[Photo, ...] = ()
    validation: tuple[Photo, ...] = ()
    copies: tuple[tuple[Photo, Photo], ...] = ()


def packs_suite(packs: Path, *, every: int = 1) -> Suite:
    """Return the official splits of the packs; `every` keeps each n-th query (galleries stay whole)."""
    shop = read_pack(packs / "shopfloor" / "manifest.csv")
    strangers = select(read_pack(packs / "shopfloor_ood" / "manifest.csv"), split="test")
    grocery, clothing = (select(shop, split="train", domain=domain) for domain in ("grocery", "clothing"))
    asked = select(shop, split="test", domain="grocery")[::every]
    return Suite(
        source=f"shopfloor and shopfloor_ood, official test splits, every {every}. query",
        galleries={"shop": (*grocery, *clothing), "studio": tuple(select(shop, split="iconic"))},
        tasks=(
            Task("grocery", "shop", tuple(asked)),
            Task("packaged", "shop", tuple(photo for photo in asked if photo.instance), "instance"),
            Task("clothing", "shop", tuple(select(shop, split="test", domain="clothing")[::every])),
            Task("studio", "studio", tuple(asked)),
        ),
        strangers=tuple(strangers[::every]),
        sensitive=tuple(select(shop, split="sensitive")[::every]),
        validation=tuple(select(shop, split="val")[::every]),
        copies=_copies(shop, packs / "shopfloor"),
    )


def _copies(shop: list[Photo], root: Path) -> tuple[tuple[Photo, Photo], ...]:
    """Return the generated near-duplicates, each after its original, whose path is the copy's instance."""
    by_path = {photo.path: photo for photo in shop}
    return tuple((by_path[root / copy.instance], copy) for copy in select(shop, split="neardup"))


def samples_suite(root: Path, *, items: int = 96, seed: int = 0) -> Suite:
    """Return a suite that the project renders into `root`: phone views against studio views, and drawn strangers."""
    rendered = read_pack(write_catalogue(root, make_items(items, seed), seed=seed))
    queries = []
    for i, (photo, item) in enumerate(zip(rendered, make_items(items, seed), strict=True)):
        path = root / f"query-{i:03d}.jpg"
        phone_view(item, seed * 1000 + 500 + i).save(path, quality=90)
        queries.append(Photo(path, "test", photo.domain, photo.coarse, photo.fine, photo.instance, ""))
    strangers = []
    for i in range(items // 2):
        path = root / f"stranger-{i:03d}.jpg"
        distractor(seed + i).save(path, quality=90)
        strangers.append(Photo(path, "test", "strangers", "drawn", "", "", ""))
    return Suite(
        source=f"rendered sample catalogue, {items} items, seed {seed}",
        galleries={"studio": tuple(rendered)},
        tasks=(Task("rendered", "studio", tuple(queries)),),
        strangers=tuple(strangers),
    )


def relevance(task: Task, gallery: Sequence[Photo]) -> NDArray[np.bool_]:
    """Return which gallery rows are right for each query: `(queries, gallery) bool`."""
    keys = np.array([f"{photo.domain}/{getattr(photo, task.label)}" for photo in gallery])
    empty = np.array([not getattr(photo, task.label) for photo in gallery])
    wanted = np.array([f"{photo.domain}/{getattr(photo, task.label)}" for photo in task.queries])
    right: NDArray[np.bool_] = (wanted[:, None] == keys[None, :]) & ~empty[None, :]
    return right
