"""One run: a data set, the contenders built and opened side by side, everything measured that was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from sightline_bench.results import Result, Run
from sightline_bench.retrieval import changes, measure
from sightline_bench.retrieval.contenders import CONTENDERS, LIMIT
from sightline_bench.retrieval.contenders.buckets import BUCKETS, PASSING, allowed
from sightline_bench.retrieval.dataset import Dataset
from sightline_bench.retrieval.figures import chosen, point, throughput, times
from sightline_bench.retrieval.measure import Asked, Failed
from sightline_bench.retrieval.process import Child, built, interpreter
from sightline_bench.retrieval.truth import Rows, exact, recall
from sightline_export.evaluate import mean_figure
from sightline_shared.errors import ServiceFailed

SCENES = ("batch", "cold", "filtered", "changes")
CHUNK = 50_000
BATCH_THREADS = (1, 2)
# A changed twentieth is what makes the service compact.
CHANGED_SHARE = 0.05
QUIET_QUERIES = 2_000


@dataclass(frozen=True)
class Plan:
    """What to measure: `scenes` beside the search itself; `few` queries for what is slow (cold, filtered)."""

    contenders: Sequence[str]
    scenes: frozenset[str]
    cache: Path
    pythons: Sequence[str]
    queries: int = 1000
    few: int = 200
    rounds: int = 3
    threads: int = 1
    build_limit_s: float = 7200.0


@dataclass
class Opened:
    """A contender that is open: what it said of itself, what its building and opening cost."""

    child: Child
    python: str
    folder: Path
    build: dict[str, Any]
    about: dict[str, Any]
    memory: dict[str, Any]
    measured: dict[str, Any] = field(default_factory=dict)


def run(dataset: Dataset, kind: str, plan: Plan, bar: Progress) -> tuple[Result, dict[str, NDArray[Any]]]:
    """Return the result, JSON-able, and the raw answers and times by contender and effort."""
    data = dataset.about | {"source_kind": kind}
    measured = Run("retrieval", {"data": data, "queries": plan.queries, "rounds": plan.rounds})
    with ExitStack() as stack:
        opened, missing = _open(dataset, plan, stack, bar)
        asked = _search(opened, plan, missing, bar)
        opened = {name: one for name, one in opened.items() if name not in missing}
        truth = dataset.truth()[: plan.queries]
        for name, one in opened.items():
            one.measured["points"] = _points(name, one, asked, truth)
        _scenes(dataset, opened, plan, missing, bar)
    if "cold" in plan.scenes:
        _cold(dataset, opened, plan, missing, bar)
    figures = {
        "contenders": {name: _described(name, one) for name, one in opened.items()},
        "not_measured": missing,
    }
    if "changes" in plan.scenes and "sightline" in opened:
        bar.add_task("additions and a compaction", total=None)
        effort = int(chosen(opened["sightline"].measured["points"])["effort"])
        extra = int(CHANGED_SHARE * dataset.about["n"])
        figures["changes"] = changes.measure(dataset, opened["sightline"].folder, effort, extra, QUIET_QUERIES)
    samples = {
        f"{name} at {effort}, median of rounds, CPU us": np.median(one.cpu_us, axis=0).tolist()
        for (name, effort), one in asked.items()
    }
    return measured.result(figures, samples), _raw(asked)


def _open(dataset: Dataset, plan: Plan, stack: ExitStack, bar: Progress) -> tuple[dict[str, Opened], Failed]:
    opened, missing = {}, {}
    step = bar.add_task("building and opening", total=len(plan.contenders))
    for name in plan.contenders:
        bar.update(step, description=f"building and opening {name}")
        python = interpreter(name, plan.pythons)
        if python is None:
            missing[name] = f"not installed: pip install {CONTENDERS[name].pip}, and name its Python by --peer-python"
        else:
            try:
                folder, cost = built(name, python, dataset, plan.cache, plan.threads, plan.build_limit_s)
                child = stack.enter_context(Child(name, python, dataset, folder))
                about, memory = child.ask("about"), child.ask("open")
                opened[name] = Opened(child, python, folder, cost, about, memory)
            except ServiceFailed as error:
                missing[name] = error.message
        bar.advance(step)
    return opened, missing


def _search(opened: Mapping[str, Opened], plan: Plan, missing: Failed, bar: Progress) -> dict[tuple[str, int], Asked]:
    efforts = {name: tuple(one.about["efforts"]) for name, one in opened.items()}
    blocks = plan.rounds * -(-plan.queries // measure.BLOCK) * sum(len(each) for each in efforts.values())
    step = bar.add_task("asking", total=blocks)
    children = {name: one.child for name, one in opened.items()}
    return measure.side_by_side(children, efforts, plan.queries, plan.rounds, missing, lambda: bar.advance(step))


def _points(name: str, one: Opened, asked: Mapping[tuple[str, int], Asked], truth: Rows) -> list[dict[str, Any]]:
    on_same_lists = CONTENDERS[LIMIT].built_by in (name, CONTENDERS[name].built_by) and name != LIMIT
    return [
        point(effort, asked[name, effort], truth, asked.get((LIMIT, effort)) if on_same_lists else None)
        for effort in one.about["efforts"]
    ]


def _scenes(dataset: Dataset, opened: Mapping[str, Opened], plan: Plan, missing: Failed, bar: Progress) -> None:
    efforts = {name: int(chosen(one.measured["points"])["effort"]) for name, one in opened.items()}
    few = min(plan.few, plan.queries)
    if "batch" in plan.scenes:
        step = bar.add_task("batches", total=len(BATCH_THREADS))
        for threads in BATCH_THREADS:
            children = {name: one.child for name, one in opened.items()}
            for name, done in measure.batches(children, efforts, threads, plan.rounds, missing).items():
                opened[name].measured.setdefault("batch", {})[str(threads)] = throughput(done)
            bar.advance(step)
    if "filtered" in plan.scenes:
        filtering = {name: one for name, one in opened.items() if CONTENDERS[name].filters}
        _filtered(dataset, filtering, efforts, few, missing, bar)


def _cold(dataset: Dataset, opened: Mapping[str, Opened], plan: Plan, missing: Failed, bar: Progress) -> None:
    """Ask contenders that read files, each alone: pages that another process maps cannot be dropped."""
    on_disk = {name: one for name, one in opened.items() if CONTENDERS[name].on_disk and name not in missing}
    step = bar.add_task("cold", total=len(on_disk))
    for name, one in on_disk.items():
        few, effort = min(plan.few, plan.queries), int(chosen(one.measured["points"])["effort"])
        with _noted(name, missing), Child(name, one.python, dataset, one.folder) as child:
            child.ask("open")
            asked, left = measure.cold(child, few, effort)
            found = mean_figure(recall(asked.rows, dataset.truth()[:few, : measure.K])).to_dict()
            one.measured["cold"] = {"recall": found, **times(asked), "left_in_cache": left}
        bar.advance(step)


def _filtered(
    dataset: Dataset,
    opened: Mapping[str, Opened],
    efforts: Mapping[str, int],
    few: int,
    missing: Failed,
    bar: Progress,
) -> None:
    vectors, queries = dataset.vectors(), dataset.queries()[:few]
    step = bar.add_task("filtered", total=len(PASSING) * (1 + len(opened)))
    for passing in PASSING:
        rows = np.flatnonzero(allowed(len(vectors), passing))
        if not len(rows):
            continue
        chunks = (vectors[rows[start : start + CHUNK]].astype(np.float32) for start in range(0, len(rows), CHUNK))
        found = exact(queries, chunks, measure.K)[1]
        truth = np.where(found < 0, -1, rows[found])
        bar.advance(step)
        for name in [name for name in opened if name not in missing]:
            with _noted(name, missing):
                asked = measure.filtered(opened[name].child, few, efforts[name], passing)
                opened[name].measured.setdefault("filtered", []).append(
                    {
                        "passing": passing / BUCKETS,
                        "matches": len(rows),
                        "recall": mean_figure(recall(asked.rows, truth)).to_dict(),
                        "answers_short": int(((asked.rows >= 0).sum(axis=1) < (truth >= 0).sum(axis=1)).sum()),
                        **times(asked),
                    }
                )
            bar.advance(step)


@contextmanager
def _noted(name: str, missing: Failed) -> Iterator[None]:
    """Note a contender's failure and go on with the others."""
    try:
        yield
    except ServiceFailed as error:
        missing[name] = error.message


def _described(name: str, one: Opened) -> dict[str, Any]:
    entry = CONTENDERS[name]
    return {
        "about": entry.about,
        "version": one.about["version"],
        "settings": one.about["settings"],
        "build": None if entry.built_by else one.build,
        "memory": one.memory,
        "effort": chosen(one.measured["points"])["effort"],
        **one.measured,
    }


def _raw(asked: Mapping[tuple[str, int], Asked]) -> dict[str, NDArray[Any]]:
    raw: dict[str, NDArray[Any]] = {}
    for (name, effort), one in asked.items():
        raw[f"{name}@{effort}.rows"] = one.rows.astype(np.int32)
        raw[f"{name}@{effort}.cpu_us"] = one.cpu_us.astype(np.float32)
        raw[f"{name}@{effort}.wall_us"] = one.wall_us.astype(np.float32)
    return raw
