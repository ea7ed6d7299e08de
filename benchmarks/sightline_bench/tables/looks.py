"""Tables of what the device looks at: several crops of a frame, the check of a frame, a burst."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sightline_bench.tables.cells import percent, plain, share, table
from sightline_bench.tables.shelf import Shelf

CROPS = ("1", "3", "5")
THINGS = (
    ("one small thing", "one small thing in clutter"),
    ("three things", "three things"),
    ("four crates", "four crates that fill the frame"),
    ("grocery photographs as they are", "grocery photographs as they are"),
)
SETS = ("grocery", "clothing", "studio")


def crops(shelf: Shelf) -> str:
    """Return what one, three and five crops find, let in, restrict and cost."""
    kinds = shelf["crops"]["kinds"]

    def row(title: str, kind: str, cell: Callable[[Mapping[str, Any]], str]) -> list[str]:
        return [title, *(cell(kinds[kind][count]) for count in CROPS)]

    rows = [row(title, kind, lambda one: f"{percent(one['R@1'])} / {share(one['R@5'])}") for kind, title in THINGS]
    rows += [
        row("strangers as they are: sent", "strangers as they are", lambda one: percent(one["sent"])),
        row('... answered "found"', "strangers as they are", lambda one: percent(one["found"])),
        row("three strangers: sent", "three strangers", lambda one: percent(one["sent"])),
        row('... answered "found"', "three strangers", lambda one: percent(one["found"])),
    ]
    for kind, title in THINGS[:2]:
        rows.append(row(f"falsely `restricted`: {title}", kind, lambda one: percent(one["restricted"])))
    for kind, title in THINGS:
        rows.append(row(f"calibration error: {title}", kind, lambda one: percent(one["calibration error"])))
    rows += [
        row("body bytes, at most", THINGS[0][0], lambda one: f"{one['body bytes max']:.0f}"),
        row("device, ms of one thread: a cluttered frame", THINGS[0][0], lambda one: f"{one['device ms median']:.1f}"),
        row("... a plain one", THINGS[3][0], lambda one: f"{one['device ms median']:.1f}"),
    ]
    head = ["recall@1 / @5, per cent", "1 crop", "up to 3 (default)", "up to 5"]
    return f"{table(head, rows)}\n\n{shelf.source('crops')}"


def frames(shelf: Shelf) -> str:
    """Return which spoilt frames the check turns away, and which good ones with them."""
    found = shelf["frames"]["quality"]
    rows = [
        [spoilt]
        + [
            f"{share(row['turned away'], 0)} / {share(row['good turned away'], 0)} / {share(row['bad let through'], 0)}"
            for row in (found[name][spoilt] for name in SETS)
        ]
        for spoilt in found[SETS[0]]
    ]
    sizes = [f"{name} ({next(iter(found[name].values()))['turned away']['n']})" for name in SETS]
    head = ["per cent: turned away / good and turned away / bad and let through", *sizes]
    return f"{table(head, rows)}\n\n{shelf.source('frames')}"


def bursts(shelf: Shelf) -> str:
    """Return what a burst picks, with a hand that settles and one that never does."""
    rows = []
    for name, row in shelf["frames"]["bursts"].items():
        called = [percent(row[what]) for what in ("called good", "called good and steady")]
        cosines = [plain(row[f"cosine of the {which}"], 3) for which in ("first", "picked")]
        rows.append(
            [
                f"a hand that {'settles' if name == 'settles' else 'never settles'}",
                row["called good"]["n"],
                *called,
                plain(row["frames looked at"], 1),
                *cosines,
            ]
        )
    head = ["simulated pans", "n", "called good, per cent", "... and steady", "frames looked at"]
    head += ["cosine to the clean view: first frame", "picked frame"]
    return f"{table(head, rows)}\n\n{shelf.source('frames')}"
