"""Put the running service under load: what it answers in time, from when on not, and what becomes of it at twice that.

Requests come as a Poisson process, whatever became of those before (an open loop), over real sockets; times count from when a
request was due. The service runs as 'sightline serve' in a process of its own, over a catalogue that is made for it; beside it
the plainest FastAPI handler over the same index gets the same requests in turn. On two cores the generator has one, and the
servers have the other.

--batches does something else: it measures what several queries in one call of the index would save of CPU (about a minute).

Rates are found by doubling and halving, unless --rates names them. The default takes about 20 minutes of an otherwise quiet
machine; --quick takes about a minute, at three fixed rates, and its figures say little.

Examples:
  sightline bench load --quick
  sightline bench load --out benchmarks/results/load
  SIGHTLINE_PACKS=../shared/packs sightline bench load --data real --out benchmarks/results/load-real
  sightline bench load --rates 50,100,150,200 --rounds 5 --raw samples.npz
  sightline bench load --batches --items 1000000 --out benchmarks/results/load-batches-1m
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from sightline_bench.load import batches, benchmark
from sightline_bench.load.plot import plot
from sightline_bench.load.report import as_markdown
from sightline_bench.load.session import Plan
from sightline_bench.out import out_file, out_prefix
from sightline_bench.packs import packs_folder
from sightline_bench.results import write
from sightline_bench.retrieval.dataset import KINDS, QUERIES, Dataset, real, steps, synthetic
from sightline_edge import Device
from sightline_edge.config import default_bundle_path
from sightline_shared.errors import InputError

ITEMS, QUICK_ITEMS, LEAST_ITEMS = 100_000, 5_000, 200
QUICK_QUERIES, LEAST_QUERIES = 200, 20
VIEWS = 10
# No search for the knees, and after an overload no long wait for the service to climb back.
QUICK = Plan(rates=(40.0, 80.0, 160.0), seconds=1.5, warm_seconds=0.3, rounds=1, overload_seconds=(1.0, 3.0, 4.0))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    whole = Plan()
    parser.add_argument("--quick", action="store_true", help="fewer items and shorter runs: shows that it works")
    parser.add_argument("--items", type=int, help=f"how many items (default {ITEMS}; {QUICK_ITEMS} with --quick)")
    parser.add_argument("--data", choices=KINDS, default="synthetic", help="which vectors (default synthetic)")
    parser.add_argument("--queries", type=int, help=f"how many queries (default {QUERIES}, the most)")
    parser.add_argument("--rates", help="requests a second, as 50,100,200 (default: around the knees)")
    parser.add_argument("--seconds", type=float, help=f"how long a rate is kept up (default {whole.seconds:g})")
    parser.add_argument("--rounds", type=int, help=f"how often each rate is run (default {whole.rounds})")
    parser.add_argument(
        "--overload-seconds", type=float, help=f"how long the overload lasts (default {whole.overload_seconds[1]:g})"
    )
    parser.add_argument("--deadline-ms", type=int, default=whole.deadline_ms, help="each query's (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the arrivals (default 0)")
    parser.add_argument(
        "--pin",
        action=argparse.BooleanOptionalAction,
        help="a core for the generator and one for the servers (default on two cores)",
    )
    parser.add_argument("--packs", help="the folder of real photographs (default SIGHTLINE_PACKS)")
    parser.add_argument("--cache", help="folder for data sets (default sightline-retrieval among the temporary files)")
    parser.add_argument("--batches", action="store_true", help="measure several queries in one call, and nothing else")
    parser.add_argument("--raw", type=out_file, help="write every request's figures to this .npz file")
    parser.add_argument(
        "--out", type=out_prefix, metavar="PREFIX", help="write PREFIX.json (or give that), PREFIX.md and PREFIX.png"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    plan = plan_of(args)
    items = args.items or (QUICK_ITEMS if args.quick else ITEMS)
    queries = args.queries or (QUICK_QUERIES if args.quick else QUERIES)
    if items < LEAST_ITEMS or not LEAST_QUERIES <= queries <= QUERIES:
        raise InputError(
            f"load: expected --items of at least {LEAST_ITEMS} and --queries of {LEAST_QUERIES} to {QUERIES}, got {items} and {queries}."
        )
    cache = Path(args.cache or Path(tempfile.gettempdir()) / "sightline-retrieval")
    # Drawn only when there is something new: its thread would be in the generator's way.
    with Progress(console=Console(stderr=True), auto_refresh=False) as bar:
        dataset = _dataset(args.data, items, args.packs, cache, bar)
        if args.batches:
            rounds = batches.QUICK_ROUNDS if args.quick else batches.ROUNDS
            return _written(args, batches.run(dataset, cache, default_bundle_path(), rounds))
        step = bar.add_task("", total=None)

        def say(text: str) -> None:
            bar.update(step, description=text, refresh=True)

        result, raw = benchmark.run(dataset, queries, default_bundle_path(), plan, say)
    if args.raw:
        np.savez_compressed(args.raw, **raw)
    if args.out:
        plot(result, Path(args.out.removesuffix(".json") + ".png"))
    return _written(args, result)


def show(result: dict[str, Any]) -> str:
    return batches.as_markdown(result) if "cpu_us" in result else as_markdown(result)


def _written(args: argparse.Namespace, result: dict[str, Any]) -> dict[str, Any]:
    if args.out:
        prefix = args.out.removesuffix(".json")
        write(result, prefix + ".json")
        Path(prefix + ".md").write_text(show(result))
    return result


def plan_of(args: argparse.Namespace) -> Plan:
    """Return what the options ask for; raises InputError."""
    plan = QUICK if args.quick else Plan()
    given = {"seconds": args.seconds, "rounds": args.rounds, "rates": args.rates and _rates(args.rates)}
    before, during, after = plan.overload_seconds
    plan = dataclasses.replace(
        plan,
        **{name: value for name, value in given.items() if value is not None},
        overload_seconds=(before, args.overload_seconds or during, after),
        deadline_ms=args.deadline_ms,
        seed=args.seed,
        pinned=_cores() == 2 if args.pin is None else args.pin,
    )
    if plan.pinned and _cores() < 2:
        raise InputError(f"--pin: expected two cores or more, got {_cores()}.")
    if plan.seconds < 1 or plan.rounds < 1 or plan.overload_seconds[1] < 1 or plan.deadline_ms < 1 or plan.seed < 0:
        raise InputError(
            "load: expected --seconds, --rounds, --overload-seconds and --deadline-ms of 1 or more, --seed of 0 or more."
        )
    return plan


def _rates(text: str) -> tuple[float, ...]:
    try:
        rates = tuple(sorted({float(rate) for rate in text.split(",")}))
    except ValueError:
        rates = ()
    if not rates or not all(1 <= rate <= 100_000 for rate in rates):
        raise InputError(f"--rates: expected numbers from 1 to 100000, as 50,100,200, got {text!r:.80}.")
    return rates


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _dataset(kind: str, n: int, packs: str | None, cache: Path, bar: Progress) -> Dataset:
    folder = packs_folder(packs)
    step = bar.add_task(f"vectors, {kind}", total=steps(kind, n, folder, VIEWS))

    def advance(count: int) -> None:
        bar.update(step, advance=count, refresh=True)

    if kind == "synthetic":
        made = synthetic(cache, n, advance)
    else:
        assert folder
        made = real(cache, n, folder, Device.load(), VIEWS, advance)
    bar.update(step, completed=bar.tasks[step].total, refresh=True)
    return made
