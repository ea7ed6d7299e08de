"""Run every benchmark of a scenario, one after another, and make one page of the results.

"quick" takes under five minutes on two cores and shows that everything works; "full" is what benchmarks/results quotes and takes
about an hour of a quiet machine. A file of your own may name other runs (benchmarks/sightline_bench/scenarios has both as
examples). Beside each result NAME.json stands NAME.md, what its command prints. A run that fails is named at the end, and the
others go on; its old result is gone then, for it is none of this run.

Examples:
  sightline bench all --quick
  SIGHTLINE_PACKS=../shared/packs sightline bench all --out results-of-today
  sightline bench all --scenario mine.toml --out mine
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from sightline_bench.out import out_folder
from sightline_bench.report.page import render
from sightline_bench.results import read
from sightline_bench.scenarios.scenario import read_scenario

CLI = "from sightline_shared.cli import main; raise SystemExit(main())"
LAST_LINES = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="the scenario 'quick'")
    parser.add_argument("--scenario", default="full", help="quick, full, or a TOML file (default full)")
    parser.add_argument("--out", default="bench-results", help="folder of results and page (default bench-results)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    scenario = read_scenario("quick" if args.quick else args.scenario)
    folder = out_folder(args.out)
    done: dict[str, Path] = {}
    rows = []
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=Console(stderr=True)
    ) as bar:
        for number, (name, words) in enumerate(scenario.runs.items(), 1):
            step = bar.add_task(f"{number} of {len(scenario.runs)}: {name}", total=1)
            out, start = folder / f"{name}.json", time.perf_counter()
            trouble = _run(words, out)
            bar.update(step, completed=1)
            rows.append({"run": name, "seconds": round(time.perf_counter() - start, 1), "trouble": trouble})
            if out.exists():
                done[name] = out
    page = folder / "report.html"
    page.write_text(render({name: read(path) for name, path in done.items()}))
    return {
        "ok": not any(row["trouble"] for row in rows),
        "scenario": scenario.name,
        "about": scenario.about,
        "runs": rows,
        "page": str(page),
    }


def _run(words: tuple[str, ...], out: Path) -> str:
    """Run one benchmark in a process of its own; returns nothing, or what is wrong: its last words, or that it says so itself."""
    out.unlink(missing_ok=True)  # an old result is none of this run
    command = [sys.executable, "-c", CLI, "bench", *words, "--out", str(out)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own commands
    if not out.exists():
        return " ".join(ended.stderr.strip().splitlines()[-LAST_LINES:]) or f"it ended with status {ended.returncode}"
    table = out.with_suffix(".md")
    table.write_text(ended.stdout)
    # As `bench network` when a budget is broken: measured, and not as it should be.
    return "" if ended.returncode == 0 else f"it is measured, and says that something is not as it should be: {table}"


def show(result: dict[str, Any]) -> str:
    lines = [f"{result['scenario']}: {result['about']}", "", "| run | seconds | |", "|---|---|---|"]
    lines += [f"| {row['run']} | {row['seconds']:.0f} | {row['trouble'] or 'done'} |" for row in result["runs"]]
    total = sum(row["seconds"] for row in result["runs"])
    return "\n".join([*lines, "", f"{total / 60:.1f} minutes; {result['page']} shows everything."])
