"""A result as Markdown: one table of the points that reach the recall aimed at, then the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sightline_bench.retrieval.contenders.buckets import BUCKETS, PASSING
from sightline_bench.retrieval.figures import ENOUGH_RECALL

Row = Sequence[object]


def as_markdown(result: dict[str, Any]) -> str:
    """Return everything that was measured in one run."""
    parts = [_heading(result), _contenders(result), _points(result)]
    parts += [part(result) for part in (_batches, _filtered, _cold, _changes) if part(result)]
    missing = [f"- {name}: {why}" for name, why in result["not_measured"].items()]
    return "\n\n".join([*parts, *(["Not measured:\n\n" + "\n".join(missing)] if missing else [])]) + "\n"


def table(head: Row, rows: Sequence[Row]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _heading(result: dict[str, Any]) -> str:
    scenario, machine = result["scenario"], result["machine"]
    data = scenario["data"]
    made = (
        f"{100 * data['real_share']:.0f} % of them photographs' views, the others grown" if data["real_share"] else ""
    )
    return (
        f"### {data['n']:,} vectors, {data['source_kind']}\n\n"
        f"{data['source']}; {data['dim']} dimensions{', ' + made if made else ''}; intrinsic dimension {data['two_nn']} "
        f"by TwoNN from the queries. {scenario['queries']} held-out queries, {scenario['rounds']} rounds, one thread, "
        f"contenders in turn by blocks of 100.\n\n"
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_1m']} before and {result['load_after']} after; "
        f"{machine['time']}, {machine['git']}. Where the load is above the cores, wall times are the machine's more than "
        f"the contender's: trust CPU times and ratios."
    )


def _contenders(result: dict[str, Any]) -> str:
    n, rows = result["scenario"]["data"]["n"], []
    for name, one in result["contenders"].items():
        at = _at(one)
        build = one["build"]
        rows.append(
            [
                name,
                at["effort"],
                _figure(at["recall"]),
                _ms(at["cpu_ms"]),
                _ms(at["wall_ms"]),
                f"{one['memory']['anonymous_bytes'] / n:.0f}",
                f"{one['memory']['ssd_bytes'] / n:.0f}",
                f"{build['cpu_s']:.0f}" if build else "",
                _build_ram(build) if build else "",
            ]
        )
    head = ["contender", "effort", "recall@10", "CPU ms p50 / p99", "wall ms p50 / p99", "RAM B a vector"]
    head += ["SSD B a vector", "build CPU s", "build RAM MiB, anonymous / with mapped files"]
    return f"At the cheapest effort with recall@10 of {ENOUGH_RECALL} (else the most):\n\n" + table(head, rows)


def _points(result: dict[str, Any]) -> str:
    rows = []
    for name, one in result["contenders"].items():
        for at in one["points"]:
            ratio = at.get("against_limit", {}).get("cpu")
            rows.append(
                [
                    name,
                    at["effort"],
                    _figure(at["recall"]),
                    _ms(at["cpu_ms"]),
                    _ms(at["wall_ms"]),
                    _figure(ratio) if ratio else "",
                ]
            )
    head = ["contender", "effort", "recall@10", "CPU ms p50 / p99", "wall ms p50 / p99", "CPU against bare faiss"]
    return "All points:\n\n" + table(head, rows)


def _batches(result: dict[str, Any]) -> str:
    rows = [
        [name, *(f"{one['batch'][t][f'per_{kind}_s']:.0f}" for t in one["batch"] for kind in ("cpu", "wall"))]
        for name, one in result["contenders"].items()
        if "batch" in one
    ]
    head = ["contender", "1 thread, by CPU", "1 thread, by wall", "2 threads, by CPU", "2 threads, by wall"]
    return "Queries a second, all in one call:\n\n" + table(head, rows) if rows else ""


def _filtered(result: dict[str, Any]) -> str:
    rows = []
    for name, one in result["contenders"].items():
        if "filtered" in one:
            by_share = {
                at["passing"]: f"{_figure(at['recall'])} at {_ms(at['cpu_ms'])}, {at['matches']:,} match"
                for at in one["filtered"]
            }
            cells = [by_share.get(passing / BUCKETS, "no match") for passing in PASSING]
            rows.append([name, *cells, sum(at["answers_short"] for at in one["filtered"])])
    head = ["contender", *(f"{100 - 100 * passing / BUCKETS:g} % filtered" for passing in PASSING), "answers too short"]
    return "Filtered, recall@10 at CPU ms p50 / p99:\n\n" + table(head, rows) if rows else ""


def _cold(result: dict[str, Any]) -> str:
    rows = [
        [
            name,
            _figure(one["cold"]["recall"]),
            _ms(one["cold"]["wall_ms"]),
            _ms(_at(one)["wall_ms"]),
            f"{100 * one['cold']['left_in_cache']:.2f} %",
        ]
        for name, one in result["contenders"].items()
        if "cold" in one
    ]
    head = [
        "contender",
        "recall@10",
        "cold, wall ms p50 / p99",
        "warm, wall ms p50 / p99",
        "most left in the page cache",
    ]
    return "Files dropped from the page cache before every query:\n\n" + table(head, rows) if rows else ""


def _changes(result: dict[str, Any]) -> str:
    if "changes" not in result:
        return ""
    changes = result["changes"]
    rows: list[Row] = [
        [name, changes[key]["queries"], _ms(changes[key]["cpu_ms"]), _ms(changes[key]["wall_ms"])]
        for name, key in (
            ("before, no delta", "before"),
            (f"delta of {changes['delta']}", "with_delta"),
            ("during the compaction", "during_compaction"),
            ("after it", "after"),
        )
    ]
    fill, merged = changes["delta_fill"], changes["compaction"]
    against = [changes[f"during_against_{other}_p99"] for other in ("delta", "after")]
    return (
        "Changes, Sightline with lists in RAM:\n\n"
        + table(["queries", "asked", "CPU ms p50 / p99", "wall ms p50 / p99"], rows)
        + f"\n\nFrom acknowledged to found: {_ms(changes['findable_ms'])} ms (p50 / p99, {changes['findable_n']} single additions, "
        f"without the service's poll). {fill['items']} additions in lots: {fill['cpu_ms_an_item']:.3f} CPU ms each. "
        f"The compaction took {merged['wall_s']:.0f} s, {merged['cpu_s']:.0f} s of CPU. p99 during it against the same "
        f"with the delta before: {against[0]['wall']:.2f} by wall, {against[0]['cpu']:.2f} by CPU; against after: "
        f"{against[1]['wall']:.2f} and {against[1]['cpu']:.2f}. Same answers as before it: "
        f"{100 * changes['same_answers_during']:.1f} %."
    )


def growth_table(fits: Sequence[dict[str, Any]]) -> str:
    """Return the fits of `cost.growth` as Markdown."""
    rows = [
        [
            fit["data"],
            fit["contender"],
            fit["cost"],
            ", ".join(f"{int(n):,}: {value:.4g}" for n, value in fit["measured"].items()),
            fit["curve"],
            f"{100 * fit['largest_error']:.0f} %",
            f"{fit['at_billion']:.3g}",
        ]
        for fit in fits
    ]
    head = ["data", "contender", "cost", "measured", "curve", "largest error of the fit", "at a billion, on paper"]
    return table(head, rows)


def _build_ram(build: dict[str, Any]) -> str:
    return " / ".join(f"{build[name] / 2**20:.0f}" for name in ("peak_anonymous_bytes", "peak_resident_bytes"))


def _at(one: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(point for point in one["points"] if point["effort"] == one["effort"])
    return found


def _figure(figure: dict[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{figure['value']:.3f} [{low:.3f}, {high:.3f}]"


def _ms(levels: dict[str, float]) -> str:
    p99 = f"{levels['p99']:.2f}" if "p99" in levels else "too few"
    return f"{levels['p50']:.2f} / {p99}"
