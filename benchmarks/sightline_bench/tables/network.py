"""Tables of `results/network.json`, `network-sizes.json` and `answers.json`: when an answer comes on which network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sightline_bench.netsim.figures import GOAL_MS
from sightline_bench.tables.cells import NEVER, TOO_FEW, levels, ms, table
from sightline_bench.tables.shelf import Shelf

NAME, SIZES, ANSWERS = "network", "network-sizes", "answers"
# The README's choice: the steady ones, from fast to slow, and one that changes.
CHOSEN = ("5g", "dense4g", "lte", "lte-ucc", "slow4g", "hspa-ucc", "3g", "lte-driving")
RECORDED = ", recorded"
ASKED = ("photo 120 KB", "photo 40 KB", "float vector", "code", "5 crops")
FIRST, FINAL = "racing", "code"
MADE = (("warm", "code"), ("cold", "code"), ("warm", "photo 40 KB"))


def chosen(shelf: Shelf) -> str:
    """Return p50 / p95 of code and photograph on the README's networks."""
    found, titles = shelf[NAME]["networks"], shelf[NAME]["titles"]
    columns = (("warm", "code"), ("warm", "photo 40 KB"), ("cold", "code"))
    rows = [
        [
            titles[name],
            *(_final(found[name][situation][way]) for situation, way in columns),
            _asleep(found[name], _final),
        ]
        for name in CHOSEN
        if name in found
    ]
    head = [
        "p50 / p95 ms until the whole answer",
        "64-byte code",
        "photo of 40 KB",
        "code, cold connection",
        "code, radio asleep",
    ]
    return _with_source(shelf, NAME, table(head, rows))


def strategies(shelf: Shelf) -> str:
    """Return every network's times by way to ask, with the share that misses 200 ms."""
    found, titles = shelf[NAME]["networks"], shelf[NAME]["titles"]
    rows = []
    for name, row in found.items():
        warm = [_with_missed(row["warm"][way]) for way in ASKED]
        rest = [_with_missed(row["cold"]["code"]), _asleep(row, _with_missed)]
        rows.append([titles[name], *warm, levels(row["warm"]["code"]["final"]["ms"], ("p99",)), *rest])
    own = next(iter(found.values()))["warm"]
    about = (
        f"p50 / p95 ms to the final answer (later than {GOAL_MS:g} ms). The device's own answers are the same everywhere: pocket index "
        f"{_with_missed(own['pocket'])}, cache {_with_missed(own['cached'])}."
    )
    head = ["network, warm", *ASKED, "code p99", "code, cold", "code, radio asleep"]
    return _with_source(shelf, NAME, table(head, rows), about)


def verdicts(shelf: Shelf) -> str:
    """Return on which networks p95 is within 200 ms, to the first and to the final answer, and what it would take elsewhere."""
    result = shelf[NAME]
    rows = []
    for name, row in result["networks"].items():
        if name.endswith(RECORDED):
            continue
        first, final = (
            row["warm"][way][which]["ms"]["p95"]["value"] for way, which in ((FIRST, "first"), (FINAL, "final"))
        )
        why = result["budget"].get(name, {}).get("why", "")
        rows.append([result["titles"][name], ms(first), ms(final), _within(final), why])
    head = [
        "network, warm connection",
        "first answer, p95 ms (pocket index, racing)",
        "final answer, p95 ms (code)",
        "final within 200 ms",
        "why",
    ]
    return _with_source(shelf, NAME, table(head, rows))


def sizes(shelf: Shelf) -> str:
    """Return how much later the whole answer comes with more bytes up."""
    found, titles = shelf[SIZES]["networks"], shelf[SIZES]["titles"]
    first, *more = next(iter(found.values()))["warm"]
    rows = []
    for name, row in found.items():
        if not name.endswith(RECORDED):
            warm = row["warm"]
            rows.append(
                [
                    titles[name],
                    levels(warm[first]["ms"]),
                    *(_later(warm[size]["ms"], warm[first]["ms"]) for size in more),
                ]
            )
    head = ["network, warm, ms at p50 / p95", first, *(f"+ with {size}" for size in more)]
    return _with_source(shelf, SIZES, table(head, rows))


def made(shelf: Shelf) -> str:
    """Return times on made traces beside those on the recorded ones that they are made like, and how far off the worst is."""
    found, titles = shelf[NAME]["networks"], shelf[NAME]["titles"]
    rows, worst = [], 1.0
    for name in found:
        if name + RECORDED not in found:
            continue
        for situation, way in MADE:
            mine, theirs = (found[each][situation][way]["final"]["ms"] for each in (name, name + RECORDED))
            ratios: list[float] = []
            said = " / ".join(_of_both(mine, theirs, level, partial(_ratio, ratios)) for level in ("p50", "p95"))
            worst = max([worst, *(max(ratio, 1 / ratio) for ratio in ratios)])
            rows.append([titles[name], f"{way}, {situation}", levels(mine), levels(theirs), said])
    head = ["p50 / p95 ms", "", "made trace", "recorded trace", "made to recorded"]
    return _with_source(shelf, NAME, table(head, rows), f"The worst is off by a factor of {worst:.1f}.")


def racing(shelf: Shelf) -> str:
    """Return the real client's first and final answer, racing its pocket index against the service."""
    rows = [
        [
            name,
            row["n"],
            levels(row["first_ms"]),
            levels(row["final_ms"]),
            row["first_from_the_device"],
            row["service_did_not_answer"],
        ]
        for name, row in shelf[ANSWERS]["networks"].items()
    ]
    head = [
        "network",
        "n",
        "first answer, p50 / p95 ms",
        "final answer",
        "first by the device",
        "service did not answer",
    ]
    return _with_source(shelf, ANSWERS, table(head, rows), shelf[ANSWERS].get("about", ""))


def _asleep(row: Mapping[str, Any], text: Callable[[Mapping[str, Any]], str]) -> str:
    """Return the code's times when the phone's radio sleeps; a network whose radio never idles has none."""
    cell = row["idle"]["code"]
    return text(cell) if cell["stages_ms"]["wake"] else "no sleep modelled"


def _final(cell: Mapping[str, Any]) -> str:
    return levels(cell["final"]["ms"])


def _with_missed(cell: Mapping[str, Any]) -> str:
    return f"{_final(cell)} ({100 * cell['final']['miss_200_ms']['value']:.0f} %)"


def _within(p95_ms: float | None) -> str:
    return "yes" if p95_ms is not None and p95_ms <= GOAL_MS else "**no**"


def _later(ms_: Mapping[str, Any], than: Mapping[str, Any]) -> str:
    """Return how much later two percentiles are."""
    return " / ".join(_of_both(ms_, than, level, lambda a, b: f"{a - b:.0f}") for level in ("p50", "p95"))


def _ratio(ratios: list[float], one: float, other: float) -> str:
    """Return a ratio as text, and put it into `ratios`."""
    ratios.append(one / other)
    return f"{one / other:.2f}"


def _of_both(one: Mapping[str, Any], other: Mapping[str, Any], level: str, text: Callable[[float, float], str]) -> str:
    """Return what `text` says of two percentiles, where both were measured and both are finite."""
    if level not in one or level not in other:
        return TOO_FEW
    values = one[level]["value"], other[level]["value"]
    return NEVER if None in values else text(*values)


def _with_source(shelf: Shelf, name: str, text: str, about: str = "") -> str:
    return f"{text}\n\n{shelf.source(name, about=about)}"
