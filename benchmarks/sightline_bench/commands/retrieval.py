"""Measure how well and how fast indexes retrieve: Sightline's, faiss alone, and other libraries.

Every contender runs in a process of its own; all are open side by side and asked in turn, so that ratios hold on a busy
machine. Peers are libraries that Sightline does not need: install them into an environment of their own and name its Python
by --peer-python (several times if need be); what is not installed is named and left out. Indexes and data sets are kept
under --cache and used again: remove its folder "built" after a change of the index.

The default takes about a minute. At a million vectors Sightline and faiss are built in minutes, graphs in half an hour and
more. --summary measures nothing: it reads results and writes the table of growth and one plot.

Examples:
  sightline bench retrieval
  sightline bench retrieval --data real --n 1000000 --scenes all --out benchmarks/results/retrieval-real-1m
  sightline bench retrieval --contenders all --peer-python ~/peers/bin/python
  sightline bench retrieval --summary benchmarks/results/retrieval-*.json --out benchmarks/results/retrieval
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from sightline_bench.out import out_file, out_prefix
from sightline_bench.packs import packs_folder
from sightline_bench.results import read, write
from sightline_bench.retrieval.contenders import CONTENDERS, LIMIT
from sightline_bench.retrieval.cost import growth
from sightline_bench.retrieval.dataset import KINDS, QUERIES, Dataset, real, steps, synthetic
from sightline_bench.retrieval.plot import plot
from sightline_bench.retrieval.report import as_markdown, growth_table
from sightline_bench.retrieval.session import SCENES, Plan
from sightline_bench.retrieval.session import run as measure
from sightline_edge import Device
from sightline_shared.errors import InputError

DEFAULT = ("sightline", "sightline-ssd", LIMIT)
LEAST_N = 5_000
VIEWS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--n", type=int, default=100_000, help="how many vectors (default 100000)")
    parser.add_argument("--data", choices=KINDS, default="synthetic", help="which vectors (default synthetic)")
    parser.add_argument(
        "--contenders",
        default=",".join(DEFAULT),
        help=f"names from: {', '.join(CONTENDERS)}; or all (default {','.join(DEFAULT)})",
    )
    parser.add_argument(
        "--scenes", default="batch", help=f"beside single queries: {', '.join(SCENES)}; or all, or none (default batch)"
    )
    parser.add_argument("--queries", type=int, default=QUERIES, help=f"how many queries (default {QUERIES}, the most)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is asked (default 3)")
    parser.add_argument(
        "--peer-python", action="append", default=[], metavar="PATH", help="a Python with peers installed"
    )
    parser.add_argument("--build-threads", type=int, default=1, help="cores a build may use (default 1)")
    parser.add_argument(
        "--build-limit-s", type=float, default=7200, help="seconds after which a build is given up (default 7200)"
    )
    parser.add_argument(
        "--cache", help="folder for data sets and indexes (default sightline-retrieval among the temporary files)"
    )
    parser.add_argument("--packs", help="the folder of real photographs (default SIGHTLINE_PACKS)")
    parser.add_argument("--raw", type=out_file, help="write every answer and time to this .npz file")
    parser.add_argument("--summary", nargs="+", metavar="JSON", help="results to summarize, in place of measuring")
    parser.add_argument(
        "--out", type=out_prefix, metavar="PREFIX", help="write PREFIX.json (or give that), PREFIX.md and PREFIX.png"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.summary:
        return summarize([Path(name) for name in args.summary], args.out)
    least = min(args.rounds, args.build_threads, args.build_limit_s)
    if args.n < LEAST_N or not 1 <= args.queries <= QUERIES or least < 1:
        raise InputError(
            f"retrieval: expected --n of at least {LEAST_N}, --queries of 1 to {QUERIES}, --rounds, --build-threads and "
            f"--build-limit-s of at least 1, got {args.n}, {args.queries}, {args.rounds}, {args.build_threads} and "
            f"{args.build_limit_s:g}."
        )
    plan = Plan(
        contenders=_names("--contenders", args.contenders, tuple(CONTENDERS)),
        scenes=frozenset(_names("--scenes", args.scenes, SCENES)),
        cache=Path(args.cache or Path(tempfile.gettempdir()) / "sightline-retrieval"),
        pythons=(sys.executable, *args.peer_python),
        queries=args.queries,
        rounds=args.rounds,
        threads=args.build_threads,
        build_limit_s=args.build_limit_s,
    )
    with Progress(console=Console(stderr=True)) as bar:
        dataset = _dataset(args.data, args.n, args.packs, plan.cache, bar)
        result, raw = measure(dataset, args.data, plan, bar)
    if args.raw:
        np.savez_compressed(args.raw, **raw)  # type: ignore[arg-type]  # numpy's stub takes the first for its own option
    if args.out:
        write(result, _beside(args.out, ".json"))
        _beside(args.out, ".md").write_text(as_markdown(result))
        plot([result], _beside(args.out, ".png"))
    return result


def summarize(files: list[Path], out: str | None) -> dict[str, Any]:
    """Return what several results say together: how cost grows."""
    results = _by_data([result for result in map(read, files) if result["benchmark"] == "retrieval"])
    if not results:
        raise InputError("--summary: expected results of 'sightline bench retrieval', got none.")
    fits = growth(results)
    summary = {"benchmark": "retrieval summary", "growth": fits}
    if out:
        _beside(out, ".json").write_text(json.dumps(summary, indent=1) + "\n")
        _beside(out, ".md").write_text(growth_table(fits) + "\n")
        plot(results, _beside(out, ".png"))
    return summary


def _by_data(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one result a data set; of a contender that several runs measured on it, what the first of them found."""
    merged: dict[tuple[str, int], dict[str, Any]] = {}
    for result in results:
        key = (result["scenario"]["data"]["source_kind"], result["scenario"]["data"]["n"])
        held = merged.get(key, result)
        merged[key] = {**held, "contenders": {**result["contenders"], **held["contenders"]}}
    return [merged[key] for key in sorted(merged)]


def show(result: dict[str, Any]) -> str:
    return as_markdown(result) if "contenders" in result else growth_table(result["growth"])


def _dataset(kind: str, n: int, packs: str | None, cache: Path, bar: Progress) -> Dataset:
    folder = packs_folder(packs)
    step = bar.add_task(f"vectors, {kind}", total=steps(kind, n, folder, VIEWS))
    advance = partial(bar.advance, step)
    if kind == "synthetic":
        made = synthetic(cache, n, advance)
    else:
        assert folder
        made = real(cache, n, folder, Device.load(), VIEWS, advance)
    bar.update(step, completed=bar.tasks[step].total)
    return made


def _names(option: str, given: str, known: tuple[str, ...]) -> tuple[str, ...]:
    names = known if given == "all" else () if given == "none" else tuple(given.split(","))
    if unknown := sorted(set(names) - set(known)):
        raise InputError(f"{option}: expected names from {', '.join(known)}, got {', '.join(unknown)}.")
    return names


def _beside(out: str, suffix: str) -> Path:
    return Path(out.removesuffix(".json") + suffix)
