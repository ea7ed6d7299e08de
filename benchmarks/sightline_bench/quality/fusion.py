"""Text with the picture: what a sentence about the wanted variant brings, and what one about nothing costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_bench.packs import Photo
from sightline_bench.quality.diversity import shown
from sightline_bench.quality.embeddings import Embedded
from sightline_bench.quality.fusion_early import modifiers
from sightline_bench.quality.fusion_texts import FAMILIES, IRRELEVANT, VARIANTS
from sightline_bench.quality.measure import Vectors, rank, sent
from sightline_bench.quality.staged import vectors_of
from sightline_bench.quality.tasks import Suite
from sightline_cloud.fusion.late import MEANING, WORDS, Text
from sightline_cloud.fusion.tower import TextTower
from sightline_cloud.fusion.words import item_text, word_shares
from sightline_cloud.rank.candidate import Candidate
from sightline_cloud.rank.context import Context
from sightline_cloud.rank.stages import Ranking
from sightline_edge.device import Device
from sightline_export.evaluate import Figure, mean_figure, statistic_figure
from sightline_shared.budget import Budget

# What a query of the default k fetches.
FETCHED = 30
MOST_QUERIES = 500
WEIGHTS = ((0.3, 0.0), (0.0, 0.2), (0.1, 0.1), (0.3, 0.2), (0.3, 0.5), (0.5, 0.2), (0.5, 0.5), (0.7, 0.5), (1.0, 0.5))
BOLD = (0.5, 0.5)
EARLY = (0.3, 0.6)
OWN, OTHER = "the variant in the picture", "another variant of it"
NOTHING, ELSEWHERE = "text about nothing", "text about another thing"
ASKED = (OWN, OTHER, NOTHING, ELSEWHERE)


@dataclass(frozen=True, eq=False)
class Shelf:
    """A gallery and what its items say; `described` gives them their descriptions, too."""

    photos: tuple[Photo, ...]
    vectors: Vectors
    codes: list[bytes]

    def metadata(self, row: int, *, described: bool) -> dict[str, str]:
        photo = self.photos[row]
        names = {"title": photo.fine.replace("-", " "), "category": photo.coarse.replace("-", " ")}
        return {**names, "description": photo.caption} if described and photo.caption else names


@dataclass(frozen=True)
class Said:
    """One query: the photograph's place, what is said with it, and the class that is wanted."""

    place: int
    text: str
    wanted: str


def fusion(suite: Suite, embedded: dict[Path, Embedded], device: Device, tower: TextTower | None) -> dict[str, Any]:
    """Return R@1 by photographs, gallery, way and what was said, and "cost" in CPU milliseconds; empty without variants."""
    groups = {"test": _some(suite.tasks[0].queries), "validation": _some(suite.validation)}
    if not groups["test"]:
        return {}
    shelves = {name: _shelf(photos, embedded, device) for name, photos in suite.galleries.items()}
    table: dict[str, Any] = {}
    for name, shelf in shelves.items():
        for group, photos in groups.items():
            if photos:
                asked = sent(vectors_of(photos, embedded), device)
                ways = _ways(group, shelf, tower, device)
                table[f"{group}, {name}"] = {
                    way: {task: mean_figure(right(photos, asked, shelf, task)) for task in ASKED}
                    for way, right in ways.items()
                }
    smallest = min(shelves.values(), key=lambda shelf: len(shelf.photos))
    return {
        "found": table,
        "by words": {
            name: _by_words(groups["test"], embedded, shelf, device, tower) for name, shelf in shelves.items()
        },
        "text alone": {way: mean_figure(_text_alone(smallest, one)) for way, one in _towers(tower).items()},
        "cost": _cost(groups["test"], embedded, smallest, device, tower),
        "tower": dict(tower.metrics) if tower else {},
    }


Right = Callable[[Sequence[Photo], Vectors, Shelf, str], NDArray[np.float64]]


def _ways(group: str, shelf: Shelf, tower: TextTower | None, device: Device) -> dict[str, Right]:
    """Return the ways to answer: on validation photographs by all weights, on test photographs by the default and its parts."""

    def late(words: float, meaning: float, *, described: bool = False) -> Right:
        stage = Text(tower, words=words, meaning=meaning) if words or meaning else None
        return lambda photos, asked, shelf, task: _right(photos, asked, shelf, task, stage, described=described)

    def early(weight: float, *, left_out: bool) -> Right:
        assert tower is not None
        toward = modifiers(shelf.photos, shelf.vectors, tower, left_out=left_out)
        return lambda photos, asked, shelf, task: _right(photos, asked, shelf, task, None, early=(weight, toward))

    ways: dict[str, Right] = {"the picture alone": late(0, 0)}
    pairs = WEIGHTS if group == "validation" else ((WORDS, 0.0), (0.0, MEANING), (WORDS, MEANING), BOLD)
    ways |= {
        f"late, words {words:g}, meaning {meaning:g}": late(words, meaning)
        for words, meaning in pairs
        if tower or not meaning
    }
    if group == "test":
        meaning = MEANING if tower else 0.0
        ways["late by default, items with descriptions"] = late(WORDS, meaning, described=True)
    if tower:
        for weight in EARLY:
            ways[f"early {weight:g}, these classes left out"] = early(weight, left_out=True)
            ways[f"early {weight:g}, these classes trained on"] = early(weight, left_out=False)
    return ways


def _by_words(
    photos: tuple[Photo, ...], embedded: dict[Path, Embedded], shelf: Shelf, device: Device, tower: TextTower | None
) -> dict[str, dict[str, Figure]]:
    """Return R@1 for the variant in the picture, apart for texts that share a word with its name and category and for others."""
    asked = sent(vectors_of(photos, embedded), device)
    row_of = {photo.fine: row for row, photo in enumerate(shelf.photos)}
    names = [item_text(shelf.metadata(row_of[photo.fine], described=False), ("title", "category")) for photo in photos]
    shares = np.array(
        [word_shares(VARIANTS[photo.fine], [name])[0] > 0 for photo, name in zip(photos, names, strict=True)]
    )
    ways = {
        "the picture alone": _right(photos, asked, shelf, OWN, None),
        **{f"late, {way}": _right(photos, asked, shelf, OWN, stage) for way, stage in _towers(tower).items()},
    }
    parts = {"texts that share a word with the item": shares, "texts that share none": ~shares}
    return {
        part: {way: mean_figure(right[chosen]) for way, right in ways.items()}
        for part, chosen in parts.items()
        if chosen.any()
    }


def _right(
    photos: Sequence[Photo],
    asked: Vectors,
    shelf: Shelf,
    task: str,
    stage: Text | None,
    *,
    described: bool = False,
    early: tuple[float, dict[str, Vectors]] | None = None,
) -> NDArray[np.float64]:
    """Return for each query whether the first item is of the wanted class."""
    said = [_said(photos, place, task) for place in range(len(photos))]
    if early:
        weight, toward = early
        asked = asked + weight * np.stack([toward[one.text] for one in said])
        asked = (asked / np.linalg.norm(asked, axis=1, keepdims=True)).astype(np.float32)
    rows = rank(asked, shelf.vectors, FETCHED)
    ranking = Ranking(() if stage is None else (stage,))
    right = []
    for one, row in zip(said, rows, strict=True):
        candidates = _candidates(shelf, row, asked[one.place], described=described)
        context = Context(candidates, 1, _NO_CODEC, text=one.text)
        first = ranking.run(candidates, context, Budget()).candidates[0]
        right.append(shelf.photos[first.pk].fine == one.wanted)
    return np.array(right, np.float64)


_NO_CODEC: Any = None  # no stage here looks at codes


def _candidates(shelf: Shelf, rows: NDArray[np.int64], asked: Vectors, *, described: bool) -> list[Candidate]:
    cosines = shelf.vectors[rows] @ asked
    return [
        Candidate(row, "", score, 0, shelf.metadata(row, described=described), shelf.codes[row])
        for row, score in zip(rows.tolist(), cosines.tolist(), strict=True)
    ]


def _said(photos: Sequence[Photo], place: int, task: str) -> Said:
    photo = photos[place]
    family = [name for name in VARIANTS if FAMILIES[name] == FAMILIES[photo.fine]]
    if task == NOTHING:
        return Said(place, IRRELEVANT[place % len(IRRELEVANT)], photo.fine)
    if task == ELSEWHERE:
        others = [name for name in VARIANTS if name not in family]
        return Said(place, VARIANTS[others[7 * place % len(others)]], photo.fine)
    if task == OTHER:
        wanted = family[(family.index(photo.fine) + 1) % len(family)]
        return Said(place, VARIANTS[wanted], wanted)
    return Said(place, VARIANTS[photo.fine], photo.fine)


def _shelf(photos: tuple[Photo, ...], embedded: dict[Path, Embedded], device: Device) -> Shelf:
    vectors = vectors_of(photos, embedded)
    return Shelf(photos, vectors, [code.tobytes() for code in device.codec.encode(vectors)])


def _some(photos: Sequence[Photo]) -> tuple[Photo, ...]:
    """Return photographs of things that come in variants, evenly spread, at most MOST_QUERIES."""
    wanted = tuple(photo for photo in photos if photo.domain == "grocery" and photo.fine in VARIANTS)
    return wanted[:: max(1, -(-len(wanted) // MOST_QUERIES))]


def _towers(tower: TextTower | None) -> dict[str, Text]:
    words = {"words": Text(None, words=WORDS, meaning=0)}
    bold_words, bold_meaning = BOLD
    told = {
        "words and meaning": Text(tower, words=WORDS, meaning=MEANING),
        f"the same, {bold_words:g} and {bold_meaning:g}": Text(tower, words=bold_words, meaning=bold_meaning),
    }
    return {**words, **told} if tower else words


def _text_alone(shelf: Shelf, stage: Text) -> NDArray[np.float64]:
    """Return for each variant's text whether its item comes first of a gallery, whatever the picture."""
    right = []
    for name, text in VARIANTS.items():
        nowhere = np.zeros(shelf.vectors.shape[1], np.float32)
        candidates = _candidates(shelf, np.arange(len(shelf.photos)), nowhere, described=False)
        context = Context(candidates, 1, _NO_CODEC, text=text)
        right.append(shelf.photos[stage.apply(candidates, context)[0].pk].fine == name)
    return np.array(right, np.float64)


def _cost(
    photos: tuple[Photo, ...], embedded: dict[Path, Embedded], shelf: Shelf, device: Device, tower: TextTower | None
) -> dict[str, Figure]:
    """Return median CPU milliseconds: of the tower for one text, and of the stage with items whose texts are known."""
    asked = sent(vectors_of(photos[:100], embedded), device)
    rows = rank(asked, shelf.vectors, FETCHED)
    spent: dict[str, list[float]] = {}
    for place in range(len(asked)):
        candidates = _candidates(shelf, rows[place], asked[place], described=False)
        text = _said(photos, place, OWN).text
        for name, stage in _towers(tower).items():
            context = Context(candidates, 1, _NO_CODEC, text=text)
            stage.apply(candidates, context)  # the texts are known from here on
            _timed(spent.setdefault(f"stage, {name}", []), stage.apply, candidates, context)
        if tower:
            _timed(spent.setdefault("tower, a new text", []), tower.asked.__wrapped__, text)
    return {name: statistic_figure(np.array(values), _median) for name, values in spent.items()}


def _timed(spent: list[float], work: Callable[..., object], *given: object) -> None:
    begun = time.thread_time()
    work(*given)
    spent.append(1000 * (time.thread_time() - begun))


def _median(values: NDArray[np.float64]) -> float:
    return float(np.median(values))


def lines(result: dict[str, Any]) -> list[str]:
    """Return the tables, of figures that went through JSON; none where nothing was asked."""
    if not result:
        return []
    text = [
        "",
        f"| text with the picture, R@1 | n | way | {' | '.join(ASKED)} |",
        "|---|---|---|" + "---|" * len(ASKED),
    ]
    for group, ways in result["found"].items():
        for way, row in ways.items():
            cells = " | ".join(shown(row[task], 100) for task in ASKED)
            text.append(f"| {group} | {row[OWN]['n']} | {way} | {cells} |")
    text.append("")
    for name, parts in result["by words"].items():
        for part, row in parts.items():
            cells = ", ".join(f"{way} {shown(entry, 100)}" for way, entry in row.items())
            text.append(f"{name}, {OWN}, {part}: {cells} (n={next(iter(row.values()))['n']})")
    alone = ", ".join(f"{way} {shown(entry, 100)} (n={entry['n']})" for way, entry in result["text alone"].items())
    cost = ", ".join(f"{what} {shown(entry, 1, 2)}" for what, entry in result["cost"].items())
    text += [f"the text alone, smallest gallery, R@1: {alone}", f"CPU ms: {cost}"]
    named = {name: entry for name, entry in result["tower"].items() if isinstance(entry, dict) and "out" in name}
    return [*text, *(f"tower, {name}: {shown(entry, 100)} (n={entry['n']})" for name, entry in named.items())]
