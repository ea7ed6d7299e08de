"""Time the device path stage by stage on one thread, with its memory and the bytes of every query.

The device runs in a process of its own and asks the real service over HTTP on loopback. After every query the bare
runtime is timed on the same picture: it is the limit, and everything else on the device is our overhead. Photographs come
from SIGHTLINE_PACKS when it is set, else from the sample catalogue.

With --pocket the pocket index is measured instead, on 10,000 items: its bytes with several kinds of ids and titles, a search on
one thread, what it finds beside the service's exact index, and what a sync costs. It needs the photographs.

Examples:
  sightline bench edge
  SIGHTLINE_PACKS=../shared/packs sightline bench edge --queries 300 --json
  SIGHTLINE_PACKS=../shared/packs sightline bench edge --tflite-float runs/shop/student.fp32.tflite
  SIGHTLINE_PACKS=../shared/packs sightline bench edge --pocket
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from sightline_bench.edge import pocket
from sightline_bench.edge.child import FloatModels
from sightline_bench.out import out_file
from sightline_bench.packs import packs_folder
from sightline_bench.quality.reference import kept_float_model
from sightline_bench.quality.tasks import Suite, packs_suite, samples_suite
from sightline_bench.results import Run, write
from sightline_bench.service import Gallery, running
from sightline_edge import Device
from sightline_edge.config import resolve_bundle
from sightline_export.evaluate import percentiles, statistic_figure
from sightline_shared.bundle import Bundle
from sightline_shared.errors import InputError, ServiceFailed

# Neither the model nor the reading of a picture file, since a camera hands over pixels: what stands between a frame and
# its packet, and what the answer costs on top.
BEFORE_SENDING = ("preprocess", "quality", "phash", "crops", "sensitive", "gate", "encode", "cache", "pack")
AFTER_RECEIVING = ("unpack", "rerank")
GALLERY = 500
WHOLE = {"device": "device", "query": "total"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--packs", help="the folder of real photographs (default SIGHTLINE_PACKS)")
    parser.add_argument("--queries", type=int, default=400, help="queries to time (default 400)")
    parser.add_argument(
        "--tflite-float", help="the float student as a .tflite file, to time it too (an export run keeps it)"
    )
    parser.add_argument("--pocket", action="store_true", help="measure the pocket index instead")
    parser.add_argument("--out", type=out_file, help="write the JSON result, raw timings included, here too")


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.queries < 20:
        raise InputError(f"--queries: expected 20 or more, got {args.queries}.")
    packs = packs_folder(args.packs)
    if args.pocket:
        return _pocket(packs, args.out)
    bundle = resolve_bundle(None)
    floats = _float_models(bundle, args.tflite_float)
    with tempfile.TemporaryDirectory(prefix="sightline-edge-") as folder, Progress(console=Console(stderr=True)) as bar:
        suite = packs_suite(packs) if packs else samples_suite(Path(folder) / "samples")
        whole = next(iter(suite.galleries.values()))
        gallery = whole[:: max(1, len(whole) // GALLERY)]
        galleries = {"shop": Gallery([photo.path for photo in gallery])}
        measured = Run("edge", {"source": suite.source, "queries": args.queries}, bundle)
        with running(Path(folder) / "data", bundle, galleries, bar) as service:
            step = bar.add_task(f"timing {args.queries} queries", total=None)
            raw = _time(service.url, service.keys["shop"], _photos(suite, args.queries), args.queries, floats)
            bar.update(step, total=1, completed=1)
    result = measured.result(_figures(raw), _samples(raw))
    if args.out:
        write(result, args.out)
    return result


def _pocket(packs: Path | None, out: str | None) -> dict[str, Any]:
    if packs is None:
        raise InputError("--pocket: expected the photographs.", hint="Give --packs, or set SIGHTLINE_PACKS.")
    device = Device.load()
    measured = Run("edge --pocket", {"items": pocket.ITEMS}, device.bundle)
    with Progress(console=Console(stderr=True)) as bar:
        step = bar.add_task("embedding photographs", total=None)
        cache = Path(tempfile.gettempdir()) / "sightline-retrieval"
        figures = pocket.measure(packs, cache, device, lambda count: bar.advance(step, count))
    result = measured.result({"pocket": figures})
    if out:
        write(result, out)
    return result


def _photos(suite: Suite, queries: int) -> list[str]:
    photos = [str(photo.path) for photo in suite.tasks[0].queries]
    return photos[:: max(1, len(photos) // queries)][:queries]


def _float_models(bundle: Bundle, tflite: str | None) -> FloatModels:
    if tflite and not Path(tflite).is_file():
        raise InputError(f"--tflite-float: expected a .tflite file, got {tflite}.", hint="See the run's folder.")
    return FloatModels(str(kept_float_model(bundle) or ""), tflite or "")


def _time(url: str, api_key: str, photos: list[str], queries: int, floats: FloatModels) -> dict[str, Any]:
    rounds = -(-queries // len(photos))
    command = [sys.executable, "-m", "sightline_bench.edge.child", url, api_key, str(rounds), *floats, *photos]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own module
    if done.returncode:
        raise ServiceFailed(f"the device process ended with status {done.returncode}: {done.stderr[-500:]}")
    raw: dict[str, Any] = json.loads(done.stdout)
    if not raw["queries"]:
        raise ServiceFailed("the device turned every photograph away, so that nothing could be timed.")
    return raw


def _figures(raw: dict[str, Any]) -> dict[str, Any]:
    queries = raw["queries"]
    stages = {
        name: np.array([query["stages_ms"].get(name, 0.0) for query in queries]) for name in queries[0]["stages_ms"]
    }

    def share(names: tuple[str, ...]) -> dict[str, Any]:
        spent = sum(stages[name] for name in names if name in stages)
        return statistic_figure(np.asarray(spent / stages["embed"]), lambda x: float(np.median(x))).to_dict()

    summary = {name: {"n": len(values), **percentiles(values)} for name, values in stages.items()}
    return {
        "queries": len(queries),
        "stages_ms": summary,
        "device_ms": percentiles(np.array([query["device_ms"] for query in queries])),
        "total_ms": percentiles(np.array([query["total_ms"] for query in queries])),
        "bare_runtime_ms": percentiles(np.array(raw["bare_ms"])),
        "before_sending_share": share(BEFORE_SENDING),
        "not_the_model_share": share(BEFORE_SENDING + AFTER_RECEIVING),
        "load_ms": raw["load_ms"],
        "cached_after_embedding_ms": percentiles(np.array(raw["cached_ms"])),
        "runtimes": {
            name: {
                "load_ms": row["load_ms"],
                "first_ms": row["first_ms"],
                "warm_ms": percentiles(np.array(row["warm_ms"])),
                "golden_cosine": row["golden_cosine"],
                "ratio_to_int8": statistic_figure(
                    np.array(row["warm_ms"]) / np.array(raw["runtimes"]["onnxruntime int8"]["warm_ms"]),
                    lambda x: float(np.median(x)),
                ).to_dict(),
            }
            for name, row in raw["runtimes"].items()
        },
        "memory_mib": raw["memory"],
        "heavy_modules": raw["heavy_modules"],
        "bytes": {
            name: {"median": float(np.median(values)), "max": int(max(values))}
            for name in ("body_up", "body_down", "http_up", "http_down")
            if (values := [query[name] for query in queries])
        },
    }


def _samples(raw: dict[str, Any]) -> dict[str, list[float]]:
    """Return the raw timings by what was timed."""
    queries = raw["queries"]
    stages = {
        f"{name} ms": [query["stages_ms"].get(name, 0.0) for query in queries] for name in queries[0]["stages_ms"]
    }
    whole = {f"whole {name} ms": [query[f"{key}_ms"] for query in queries] for name, key in WHOLE.items()}
    runtimes = {f"runtime {name} ms": row["warm_ms"] for name, row in raw["runtimes"].items()}
    return {**stages, **whole, "bare runtime ms": raw["bare_ms"], "cached ms": raw["cached_ms"], **runtimes}


def show(result: dict[str, Any]) -> str:
    if "pocket" in result:
        return pocket.show(result["pocket"])
    lines = [
        f"{result['queries']} queries, {result['scenario']['source']}; one thread on {result['machine']['cpu']}, "
        f"load {result['machine']['load_1m']} before, {result['load_after']} after",
        "",
        "| stage | p50 ms | p95 ms |",
        "|---|---|---|",
    ]
    rows = {**result["stages_ms"], "whole device": result["device_ms"], "whole query": result["total_ms"]}
    rows["bare runtime (the limit for embed)"] = result["bare_runtime_ms"]
    lines += [f"| {name} | {row['p50']:.3f} | {_cell(row.get('p95'))} |" for name, row in rows.items()]
    before, whole = (_percent(result[f"{name}_share"]) for name in ("before_sending", "not_the_model"))
    memory, sent = result["memory_mib"], result["bytes"]
    lines += [
        "",
        f"everything but the model until the packet: {before} of the model's time; with unpack and rerank: {whole} (the "
        "decoding of a picture file is in neither)",
        f"bytes a query: body {sent['body_up']['max']} up, {sent['body_down']['median']:.0f} down; with HTTP headers "
        f"{sent['http_up']['max']} up, {sent['http_down']['median']:.0f} down",
        f"memory of the device process: {memory['import_mib']:.0f} MiB after import, {memory['loaded_mib']:.0f} loaded, "
        f"{memory['peak_mib']:.0f} at its peak; bundle loaded and proved in {result['load_ms']:.0f} ms",
        f"a repeated frame, after its embedding, from the cache: {result['cached_after_embedding_ms']['p50']:.2f} ms p50, "
        f"{_cell(result['cached_after_embedding_ms'].get('p95'))} p95",
        f"heavy modules in it: {', '.join(result['heavy_modules']) or 'none'}",
        "",
        "| runtime | load ms | first call | warm p50 | warm p95 | ratio to ONNX int8 | cosine to the golden embeddings, worst |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in result["runtimes"].items():
        low, high = row["ratio_to_int8"]["interval"]
        lines.append(
            f"| {name} | {row['load_ms']:.0f} | {row['first_ms']:.1f} | {row['warm_ms']['p50']:.2f} | "
            f"{_cell(row['warm_ms'].get('p95'))} | {row['ratio_to_int8']['value']:.2f} [{low:.2f}, {high:.2f}] | "
            f"{row['golden_cosine']:.4f} |"
        )
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return "too few" if value is None else f"{value:.3f}"


def _percent(entry: dict[str, Any]) -> str:
    low, high = entry["interval"]
    return f"{100 * entry['value']:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
