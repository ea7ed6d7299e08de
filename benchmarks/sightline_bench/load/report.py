"""A result as Markdown."""

from __future__ import annotations

from typing import Any

from sightline_bench.load.sample import GOAL_MS, GOAL_SHARE, LATE_MS
from sightline_bench.load.session import PLAIN, SERVICE
from sightline_bench.retrieval.report import table

NAMES = {SERVICE: "the service", PLAIN: "plain FastAPI"}


def as_markdown(result: dict[str, Any]) -> str:
    """Return everything that was measured in one run."""
    parts = [_heading(result), _rates(result), _costs(result), _ratios(result), _overload(result)]
    return "\n\n".join(parts) + "\n"


def _heading(result: dict[str, Any]) -> str:
    scenario, machine, cores = result["scenario"], result["machine"], result["cores"]
    data, plan = scenario["data"], scenario["plan"]
    where = (
        f"generator on core {cores['generator']}, servers on core {cores['servers']}"
        if plan["pinned"]
        else "generator and servers share all cores"
    )
    knees = ", ".join(f"{NAMES[name]} {_rate(knee)}" for name, knee in result["knee_per_s"].items())
    began = result["began_degraded"]
    searched = ", ".join(f"{NAMES[name]} {_rate(found['per_second'])}" for name, found in result["search"].items())
    undegraded = _rate(result["undegraded_knee_per_s"][SERVICE])
    return (
        f"### The service under load: {data['n']:,} items, {data['source']}\n\n"
        f"Open loop: Poisson arrivals over kept HTTP/1.1 connections on loopback, every time counted from when a request was "
        f"due. {result['queries']} held-out queries of one 64-byte code, k {plan['k']}, deadline {plan['deadline_ms']} ms, given up "
        f"after {1000 * plan['patience_seconds']:.0f}; {plan['rounds']} rounds of {plan['seconds']:g} s a rate, the two servers in turn. "
        f"{result['restricted_left_out']} queries that the service takes for sensitive are left out. "
        f"{result['bundle']['label']}, index {result['index'].get('kind', '')}.\n\n"
        f"{machine['cpu']}, {machine['cores']} cores, {where}; load {machine['load_1m']} before and {result['load_after']} after; "
        f"{machine['time']}, {machine['git']}, seed {plan['seed']}.\n\n"
        f"**Largest rate measured with {100 * GOAL_SHARE:.0f} % of the requests answered whole in time and p99 within "
        f"{GOAL_MS:.0f} ms, a second: {knees}** (with 99 % of its answers undegraded, the service {undegraded}"
        f"{'; by doubling and halving: ' + searched if searched else ''}). A run whose generator sent 1 % of its requests more than {LATE_MS:g} ms late holds "
        "nothing." + (f" Begun before the service had recovered: {', '.join(began)}." if began else "")
    )


def _rates(result: dict[str, Any]) -> str:
    head = [
        "offered a second",
        "server",
        "answered a second",
        "whole and in time %",
        "p50 ms",
        "p90",
        "p95",
        "p99",
        "max",
    ]
    head += ["partial %", "late %", "given up %", "shed %", "errors %", "degraded % (highest)"]
    head += ["holds"]
    rows = []
    measured = [(row["rate"], name, row) for name, each in result["tables"].items() for row in each]
    for _, name, row in sorted(measured, key=lambda one: (one[0], one[1] != SERVICE)):
        cells = [_rate(row["rate"]), NAMES[name], _rate(row["completed_per_s"]), _share(row, "good")]
        cells += [_ms(row["ms"].get(level)) for level in ("p50", "p90", "p95", "p99", "max")]
        cells += [_share(row, kind) for kind in ("partial", "late", "gone", "shed", "error")]
        rows.append([*cells, _degraded(row), _holds(row)])
    return table(head, rows)


def _costs(result: dict[str, Any]) -> str:
    rows = []
    for name, each in result["tables"].items():
        row = _at_knee(result, name, each)
        generator, alone = row["generator"], result["one_at_a_time_ms"][name]
        rows.append(
            [
                NAMES[name],
                _rate(row["rate"]),
                _ms(row["server_cpu_ms"], 2),
                f"{result['request_bytes'][name]:.0f} / {row['answer_bytes'] or 0:.0f}",
                f"{_ms(alone.get('p50'), 2)} / {_ms(alone.get('p95'), 2)}",
                _ms(result["idle_cpu_ms_per_s"][name]),
                f"{generator['cpu_us']:.0f}",
                _ms(generator["late_ms"].get("p99"), 2),
                row["connections"],
            ]
        )
    bare = result["bare_index"]
    head = [
        "server",
        "at a rate of",
        "CPU ms an answer",
        "bytes up / down, heads included",
        "one at a time, p50 / p95 ms",
    ]
    head += ["idle, CPU ms a second", "generator: CPU us a request", "late, p99 ms", "connections"]
    return (
        table(head, rows)
        + f"\n\nThe bare index call takes {_ms(bare['cpu_ms']['p50'], 3)} ms of CPU (p50, n = {bare['n']}). The first "
        f"match is the same for {100 * result['same_first_match']:.1f} % of the queries."
    )


def _ratios(result: dict[str, Any]) -> str:
    rows = []
    for row in result["ratios"]:
        cells = [row["over_plain"][name] for name in ("p50_ms", "p99_ms", "server_cpu_ms")]
        cells += [row["server_cpu_over_bare_index"][name] for name in (SERVICE, PLAIN)]
        rows.append([_rate(row["rate"]), *map(_figure, cells)])
    head = [
        "offered a second",
        "p50, service over plain",
        "p99",
        "CPU an answer",
        "CPU an answer, service over bare index call",
    ]
    head += ["plain over bare index call"]
    return "Ratios at the same schedule, 95 % intervals over whole seconds:\n\n" + table(head, rows)


def _overload(result: dict[str, Any]) -> str:
    rows = []
    for name, each in result["overload"].items():
        during, after, rates = each["during"], each["after"], each["per_second"]
        rows.append(
            [
                NAMES[name],
                f"{_rate(rates['before and after'])}, {_rate(rates['during'])}",
                _rate(during["goodput_per_s"]),
                *(_share(during, kind) for kind in ("good", "partial", "late", "gone", "shed", "error")),
                _ms(during["ms"].get("p50")),
                _ms(during["ms"].get("p99")),
                _ms(during["shed_ms"].get("p50")),
                _degraded(during),
                _seconds(each["recovery_s"], each),
                _seconds(each["undegraded_after_s"], each),
                _share(after, "good"),
            ]
        )
    seconds = next(iter(result["overload"].values()))["seconds"]
    head = [
        "server",
        "a second",
        "goodput a second",
        "whole and in time %",
        "partial %",
        "late %",
        "given up %",
        "shed %",
    ]
    head += ["errors %", "p50 ms", "p99", "refusal p50 ms", "degraded % (highest)", "holds again after s"]
    head += ["not degraded after s", "afterwards whole and in time %"]
    return f"At twice each server's knee for {seconds['during']:g} s, half of it before and after:\n\n" + table(
        head, rows
    )


def _at_knee(result: dict[str, Any], name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the row of the server's knee, else that of the lowest rate."""
    return next((row for row in rows if row["rate"] == result["knee_per_s"][name]), rows[0])


def _rate(value: float | None) -> str:
    return "none" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _share(row: dict[str, Any], kind: str) -> str:
    return f"{100 * row['shares'][kind]:.1f}"


def _degraded(row: dict[str, Any]) -> str:
    """Return the share of answers that were degraded at all, and the highest level."""
    levels = {int(level): count for level, count in row["degraded"].items()}
    most, degraded = max(levels, default=0), sum(count for level, count in levels.items() if level)
    answered = row["n"] * sum(row["shares"][kind] for kind in ("good", "partial", "late"))
    return f"{100 * degraded / max(1, answered):.0f} ({most})" if degraded else "0"


def _ms(value: float | None, digits: int = 1) -> str:
    return "too few" if value is None else f"{value:.{digits}f}"


def _seconds(value: float | None, overload: dict[str, Any]) -> str:
    return f"not within {overload['seconds']['after']:g}" if value is None else f"{value:.1f}"


def _holds(row: dict[str, Any]) -> str:
    return "generator late" if row["generator"]["late"] else "yes" if row["holds"] else "no"


def _figure(figure: dict[str, Any] | None) -> str:
    if figure is None:
        return "too few"
    low, high = figure["interval"]
    return f"{figure['value']:.2f} [{low:.2f}, {high:.2f}]"
