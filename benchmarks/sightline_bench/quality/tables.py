"""The figures as text: the tables that `sightline bench quality` prints."""

from __future__ import annotations

from typing import Any


def as_text(result: dict[str, Any]) -> str:
    """Return every table; a figure is its value in per cent and its 95 % interval."""
    lines = [
        f"{result['source']}",
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
    return "\n".join(lines + sensitive_lines(result["sensitive"]))


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


def percent(entry: dict[str, Any]) -> str:
    low, high = entry["interval"]
    return f"{100 * entry['value']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
