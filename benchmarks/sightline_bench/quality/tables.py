"""The figures as text: the tables that `sightline bench quality` prints."""

from __future__ import annotations

from typing import Any

from sightline_bench.quality import category, diversity, fusion, rank_cost

NEVER_SEEN = (
    "Never seen, by training or here: rashes, wounds and skin on a phone's photograph, pills, documents, weapons. "
    "X-rays, smears and dermoscopies differ from shop photographs at a glance; what was never seen will be missed far more often."
)


def as_text(result: dict[str, Any]) -> str:
    """Return every table; a figure is its value in per cent and its 95 % interval."""
    lines = [
        f"{result['scenario']['source']}",
        f"bundle {result['bundle']['label']} ({result['bundle']['digest'][:12]}), {result['seconds']} s on "
        f"{result['machine']['cpu']}; 95 % bootstrap intervals",
        "",
        "| task | n | variant | R@1 | R@5 | R@10 | mAP@10 |",
        "|---|---|---|---|---|---|---|",
    ]
    for task, variants in result["retrieval"].items():
        for variant, row in variants.items():
            cells = " | ".join(percent(row[name]) for name in ("R@1", "R@5", "R@10", "mAP@10"))
            lines.append(f"| {task} | {row['R@1']['n']} | {variant} | {cells} |")
    lines += ["", "| code against int8 float search | n | in top 10 | in top 20 |", "|---|---|---|---|"]
    for task, row in result["code_overlap"].items():
        lines.append(
            f"| {task} | {row['in top 10']['n']} | {percent(row['in top 10'])} | {percent(row['in top 20'])} |"
        )
    lines += ["", "| no visual match | figure | n | value |", "|---|---|---|---|"]
    for score, row in result["strangers"].items():
        lines += [f"| {score} | {name} | {entry['n']} | {percent(entry)} |" for name, entry in row.items()]
    outcomes = list(next(iter(result["decisions"].values())))
    lines += ["", f"| shipped thresholds | n | {' | '.join(outcomes)} |", "|---|---|" + "---|" * len(outcomes)]
    for group, row in result["decisions"].items():
        cells = " | ".join(percent(row[name]) for name in outcomes)
        lines.append(f"| {group} | {row[outcomes[0]]['n']} | {cells} |")
    lines += [*decision_lines(result["decision"]), *pocket_lines(result["pocket"])]
    lines += [*sensitive_lines(result["sensitive"]), *routing_lines(result["routing"])]
    return "\n".join(
        [
            *lines,
            *category.lines(result["category"]),
            *diversity.lines(result["diversity"]),
            *rank_cost.lines(result["rank_cost"]),
            *fusion.lines(result["fusion"]),
        ]
    )


def sensitive_lines(result: dict[str, Any]) -> list[str]:
    """Return the tables of the sensitive head, exact intervals; no lines where nothing was measured."""
    if not result:
        return []
    columns = ("recall at 1 % false alarms", "missed", "missed, subjects left out (export)")
    lines = ["", f"| sensitive subjects | n | {' | '.join(columns)} | note |", "|---|---|---|---|---|---|"]
    for kind, row in result["kinds"].items():
        cells = " | ".join(percent(row[name]) if row[name] else "not measured" for name in columns)
        lines.append(f"| {kind} | {row['missed']['n']} | {cells} | {row['note']} |")
    lines += ["", "| taken for a sensitive subject | n | false alarms |", "|---|---|---|"]
    lines += [f"| {name} | {entry['n']} | {percent(entry)} |" for name, entry in result["false alarms"].items()]
    return lines


def routing_lines(result: dict[str, Any]) -> list[str]:
    """Return the tables of the sensitive routing, exact intervals; no lines where nothing was measured."""
    if not result:
        return []
    columns = list(next(iter(result["kinds"].values())))
    moved = ", ".join(f"{kind} by {logits:+.2f}" for kind, logits in result["shift"].items())
    lines = [
        "",
        f"routing by policy {result['policy']}, on decoded codes, by a threshold {result['margin']:g} logits below the head's; "
        f"codes move the score of {moved} logits",
        "",
        f"| sensitive subjects | n | subjects | {' | '.join(columns)} |",
        "|---|---|---|" + "---|" * len(columns),
    ]
    for kind, row in result["kinds"].items():
        cells = " | ".join(percent(row[name]) for name in columns)
        lines.append(f"| {kind} | {row['missed']['n']} | {row['subjects with a miss']['n']} | {cells} |")
    lines += ["", "| routed as sensitive | n | share | without the margin |", "|---|---|---|---|"]
    for name, row in result["taken"].items():
        cells = " | ".join(map(percent, row.values()))
        lines.append(f"| {name} | {row['taken']['n']} | {cells} |")
    shown = list(next(iter(result["margins"].values())))
    lines += ["", f"| margin, logits | {' | '.join(shown)} |", "|---|" + "---|" * len(shown)]
    lines += [f"| {margin} | {' | '.join(map(percent, row.values()))} |" for margin, row in result["margins"].items()]
    return [*lines, "", NEVER_SEEN]


def decision_lines(result: dict[str, Any]) -> list[str]:
    """Return the tables of the decision: what each score keeps, what is said, and how far the probability holds."""
    shares = list(next(iter(next(iter(result["kept"].values())).values())))
    lines = [
        "",
        f"| answerable kept at this share of unanswerable refused | n | score | {' | '.join(shares)} | micro-AP |",
    ]
    lines.append("|---|---|---|" + "---|" * (len(shares) + 1))
    for rows, scores in result["kept"].items():
        for which, row in scores.items():
            cells = " | ".join(percent(row[share]) for share in shares)
            micro = percent(result["micro_ap"][rows][which])
            lines.append(f"| {rows} | {row[shares[0]]['n']} | {which} | {cells} | {micro} |")
    outcomes = list(next(iter(next(iter(result["said"].values())).values())))
    lines += ["", f"| the service says | n | by | {' | '.join(outcomes)} |", "|---|---|---|" + "---|" * len(outcomes)]
    for rows, ways in result["said"].items():
        for way, row in ways.items():
            cells = " | ".join(percent(row[name]) for name in outcomes)
            lines.append(f"| {rows} | {row[outcomes[0]]['n']} | {way} | {cells} |")
    lines += [
        "",
        "| calibration, half unanswerable | n | by | error | mean probability | right |",
        "|---|---|---|---|---|---|",
    ]
    for rows, ways in result["calibration"].items():
        for way, row in ways.items():
            means = f"{100 * row['mean probability']:.1f} | {100 * row['right']:.1f}"
            lines.append(f"| {rows} | {row['error']['n']} | {way} | {percent(row['error'])} | {means} |")
    return lines


def pocket_lines(result: dict[str, Any]) -> list[str]:
    """Return the table of what the pocket says, and how often the service then says another thing."""
    columns = list(next(iter(next(iter(result.values())).values())))
    lines = ["", f"| the pocket says | n | by | {' | '.join(columns)} |", "|---|---|---|" + "---|" * len(columns)]
    for rows, ways in result.items():
        for way, row in ways.items():
            cells = " | ".join(percent(row[name]) for name in columns)
            lines.append(f"| {rows} | {row[columns[0]]['n']} | {way} | {cells} |")
    return lines


def percent(entry: dict[str, Any]) -> str:
    """Return a share in per cent with its interval; a dash where nothing was asked."""
    if not entry["n"]:
        return "-"
    low, high = entry["interval"]
    return f"{100 * entry['value']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
