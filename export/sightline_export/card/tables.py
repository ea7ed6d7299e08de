"""The card's tables, built from the body of metrics.json; a table without rows is left out of the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sightline_export.card.numbers import origin, strip, text
from sightline_export.evaluation.corruptions import CORRUPTIONS, STRENGTHS

Body = Mapping[str, Any]
Figures = Mapping[str, Mapping[str, Any]]

COLUMNS = {
    "int8": "int8 student",
    "float": "float student",
    "code": "int8 + code",
    "teacher gallery": "int8 asks teacher's gallery",
    "teacher": "teacher",
}
RETRIEVAL = ("R@1", "R@5", "mAP@10")
ARTEFACT = (
    ("size_bytes", "size"),
    ("one_thread_ms", "one thread"),
    ("ratio_to_bare_runtime", "to bare runtime"),
    ("peak_rss_mib", "memory peak"),
    ("cosine_mean", "cosine mean"),
    ("cosine_p1", "p1"),
    ("cosine_min", "min"),
    ("overlap@10", "top-10 overlap"),
    ("gate_agreement", "gate agrees"),
    ("route_agreement", "route agrees"),
)
WAYS = (
    ("old_to_old", "old asks old"),
    ("old_to_new", "old asks new"),
    ("new_to_old", "new asks old"),
    ("new_to_new", "new asks new"),
)


@dataclass(frozen=True)
class Cell:
    """What stands in a cell; `shade` from 0 (bad) to 1 (good) colours it, None does not; `tip` says n and data."""

    text: str
    tip: str = ""
    shade: float | None = None


@dataclass(frozen=True)
class Table:
    """Column heads, and rows whose first cell is the row's name."""

    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def __bool__(self) -> bool:
        return bool(self.rows)


EMPTY = Table((), ())


def cell(name: str, entry: Mapping[str, Any] | None, *, interval: bool = True, shade: float | None = None) -> Cell:
    """Return the cell of figure `name`; a dash where it was not measured."""
    if entry is None:
        return Cell("–")
    return Cell(text(name, entry, interval=interval), origin(entry), shade)


def retrieval(body: Body) -> Table:
    """R@1, R@5 and mAP@10 of every question, one column for each way of asking."""
    columns = [name for name in COLUMNS if name in body.get("comparison", {})]
    columns += [name for name in body.get("comparison", {}) if name not in COLUMNS]
    if not columns:
        return EMPTY
    first = body["comparison"][columns[0]]
    rows = [
        (
            Cell(strip(name, "")),
            Cell(f"{first[name]['n']:,}"),
            *(cell(name, body["comparison"][column].get(name)) for column in columns),
        )
        for name in first
        if name.endswith(RETRIEVAL)
    ]
    return Table(("question", "n", *(COLUMNS.get(column, column) for column in columns)), tuple(rows))


def artefacts(figures: Figures) -> Table:
    """Size, speed and faithfulness of every artefact, named "parity.ARTEFACT.WHAT" among the figures."""
    names = artefact_names(figures)
    used = [(key, head) for key, head in ARTEFACT if any(f"parity.{name}.{key}" in figures for name in names)]
    rows = [(Cell(name), *(_artefact_cell(figures, name, key) for key, _ in used)) for name in names]
    return Table(("artefact", *(head for _, head in used)), tuple(rows))


def artefact_names(figures: Figures) -> list[str]:
    """Return the names of the artefacts that parity measured, in their order."""
    return list(
        dict.fromkeys(name.removeprefix("parity.").rpartition(".")[0] for name in figures if name.startswith("parity."))
    )


def _artefact_cell(figures: Figures, name: str, key: str) -> Cell:
    entry = figures.get(f"parity.{name}.{key}")
    return cell(key, entry, interval=key in ("one_thread_ms",))


def codec(figures: Figures) -> Table:
    """Everything about the code on the wire: "codec.METHOD.WHAT" where a table was made, "code.SOURCE.WHAT" always."""
    found = _pivot(figures, "codec.")
    return found or _pivot(figures, "code.")


def robustness(figures: Figures) -> Table:
    """The share of R@1 kept, by corruption and strength, shaded."""
    rows = []
    for name in CORRUPTIONS:
        entries = [figures.get(f"robustness.{name}.{strength}") for strength in STRENGTHS]
        if any(entries):
            rows.append((Cell(strip(name, "")), *(_shaded(entry) for entry in entries)))
    if not rows:
        return EMPTY
    return Table(("corruption", "weak", "middle", "strong"), tuple(rows))


def _shaded(entry: Mapping[str, Any] | None) -> Cell:
    shade = None if entry is None else min(1.0, max(0.0, (entry["value"] - 0.4) / 0.6))
    return cell("kept", entry, shade=shade)


def generations(figures: Figures) -> Table:
    """R@1 of old and new queries in old and new galleries, and what the new bundle loses at home."""
    names = list(
        dict.fromkeys(
            name.removeprefix("generations.").rpartition(".")[0] for name in figures if name.startswith("generations.")
        )
    )
    rows = [
        (
            Cell(name),
            *(cell("R@1", figures.get(f"generations.{name}.{way}")) for way, _ in WAYS),
            cell("R@1", figures.get(f"regression.{name}.R@1")),
        )
        for name in names
    ]
    return Table(("question", *(head for _, head in WAYS), "lost at home"), tuple(rows))


def named(figures: Figures, wanted: Callable[[str], bool], prefix: str = "") -> Table:
    """One row a figure whose name is `wanted`: name, value with interval, n, data."""
    rows = [
        (Cell(strip(name, prefix)), cell(name, entry), Cell(f"{entry['n']:,}"), Cell(entry.get("data", "")))
        for name, entry in figures.items()
        if wanted(name)
    ]
    return Table(("figure", "value", "n", "data"), tuple(rows))


def starting(*prefixes: str, but: Iterable[str] = ()) -> Callable[[str], bool]:
    """Return a test for names that start with one of `prefixes` and hold none of the words `but`."""
    words = tuple(but)
    return lambda name: name.startswith(prefixes) and not any(word in name for word in words)


def sources(body: Body) -> Table:
    """What the bundle was made from: photographs by role, and whose they are."""
    rows = [
        (
            Cell(entry["name"]),
            Cell(entry["kind"]),
            *(Cell(f"{entry['photographs'].get(role, 0):,}") for role in ("train", "val", "test", "studio")),
            Cell(", ".join(entry["licences"]) or "not stated"),
            Cell(", ".join(entry["origins"])),
        )
        for entry in body.get("evaluation", {}).get("sources", ())
    ]
    return Table(("source", "kind", "train", "validation", "test", "studio", "licence", "from"), tuple(rows))


def _pivot(figures: Figures, prefix: str) -> Table:
    """Turn "PREFIXrow.column" into a table; `column` is the part after the last dot."""
    pairs = [name.removeprefix(prefix).rpartition(".")[::2] for name in figures if name.startswith(prefix)]
    columns = list(dict.fromkeys(column for _, column in pairs))
    rows = [
        (Cell(strip(row, "")), *(cell(column, figures.get(f"{prefix}{row}.{column}")) for column in columns))
        for row in dict.fromkeys(row for row, _ in pairs)
    ]
    return Table(("", *(strip(column, "") for column in columns)), tuple(rows))
