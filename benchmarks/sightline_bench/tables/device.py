"""Tables of what runs on the device: stages, bytes and memory, runtimes, cache, pocket index, what a code gives away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sightline_bench.tables.cells import TOO_FEW, levels, ms, percent, plain, table
from sightline_bench.tables.shelf import Shelf
from sightline_export.evaluate import percentiles

# Titles of one or more of `bench edge`'s stages; what several name is added up query by query.
STAGES = (
    ("decode the file (JPEG)", ("decode",)),
    ("preprocess", ("preprocess",)),
    ("frame quality", ("quality",)),
    ("embed: the int8 student", ("embed",)),
    ("sensitive head, gate", ("sensitive", "gate")),
    ("encode to 64 bytes, pack", ("encode", "pack")),
    ("round trip on loopback, service included", ("round_trip",)),
    ("unpack, re-rank", ("unpack", "rerank")),
)
CLIPS = (0.97, 0.99)
NEAR_BITS = 4


def stages(shelf: Shelf) -> str:
    """Return the milliseconds of each stage of a query."""
    edge = shelf["edge"]
    rows = [[title, *_summed([edge["samples"][f"{name} ms"] for name in names])] for title, names in STAGES]
    rows += [
        ["whole device", *_levels(edge["device_ms"])],
        ["bare runtime call, the limit for embed", *_levels(edge["bare_runtime_ms"])],
        ["**a repeated frame, from the cache**, after its embedding", *_levels(edge["cached_after_embedding_ms"])],
        ["**the pocket index**, 10,000 items", *_levels(shelf["pocket"]["pocket"]["search_ms"]["all"])],
    ]
    about = _machine(edge)
    return f"{table(['stage, one thread', 'p50 ms', 'p95 ms'], rows)}\n\n{shelf.source('edge', 'pocket', about=about)}"


def costs(shelf: Shelf) -> str:
    """Return what the device spends besides the model: time, bytes, memory, and what each runtime takes."""
    edge = shelf["edge"]
    sent, memory = edge["bytes"], edge["memory_mib"]
    rows = [
        ["not the model, until the packet", f"{percent(edge['before_sending_share'])} % of the model's time"],
        ["... with unpack and re-rank (aim: 20 %)", f"{percent(edge['not_the_model_share'])} %"],
        ["body up / down (20 matches with their codes)", _bytes(sent, "body")],
        ["with HTTP heads", _bytes(sent, "http")],
        [
            "memory of the process: after the import / at its peak",
            f"{memory['import_mib']:.0f} / {memory['peak_mib']:.0f} MiB",
        ],
        ["the bundle loads and proves itself in", f"{edge['load_ms']:.0f} ms"],
        ["heavy modules that it imported", ", ".join(edge["heavy_modules"]) or "none"],
    ]
    for name, row in edge["runtimes"].items():
        warm = f"{levels(row['warm_ms'], digits=1)} ms"
        ratio = (
            "" if row["ratio_to_int8"]["value"] == 1 else f", {plain(row['ratio_to_int8'], 2)} of int8 in ONNX Runtime"
        )
        rows.append([f"the model in {name}, p50 / p95", f"{warm}{ratio}; first call {row['first_ms']:.1f}"])
    return f"{table(['', ''], rows)}\n\n{shelf.source('edge')}"


def pocket(shelf: Shelf) -> str:
    """Return what the pocket index takes and finds."""
    found = shelf["pocket"]["pocket"]
    search, delta = found["search_ms"], found["sync"]["delta"]
    changes = delta["added"] + delta["removed"] + delta["updated"]
    rows = [
        ["a search, one thread, p50 / p95", _pair(search["all"])],
        ["... with a filter", _pair(search["filtered"])],
        *([name, percent(figure) + " %"] for name, figure in found["found"]["recall@10"].items()),
        ["first match as the service's", percent(found["found"]["first"]["pocket as the service"]) + " %"],
        [f"a delta of {changes} changes", f"{delta['bytes']:,} B, {delta['apply_ms']:.0f} ms of the device's CPU"],
        ["a whole file", f"{found['sync']['whole']['bytes']:,} B, {found['sync']['whole']['apply_ms']:.0f} ms"],
    ]
    head = ["", f"{found['items']:,} items"]
    return f"{table(head, rows)}\n\n{shelf.source('pocket', about=found['source'] + '.')}"


def pocket_bytes(shelf: Shelf) -> str:
    """Return the bytes of a pocket file by what its items are called."""
    found = shelf["pocket"]["pocket"]
    rows = [[row["about"], f"{row['bytes']:,}", f"{row['left']:,}"] for row in found["bytes"].values()]
    head = [f"{found['items']:,} items", "bytes", "left of 1,000,000"]
    return f"{table(head, rows)}\n\n{shelf.source('pocket')}"


def repeats(shelf: Shelf) -> str:
    """Return how many frames of a clip the cache answers, and how many of those another way than a search would."""
    clips: dict[str, list[str]] = {}
    for row in shelf["repeats"]["clips"]:
        if row["near_bits"] == NEAR_BITS and row["near_cosine"] in CLIPS:
            cells = clips.setdefault(f"{row['clip']} ({row['frames']})", [])
            cells += [percent(row["hits"], 0), percent(row["wrong hits"], 0)]
    heads = [
        f"{what} at .{100 * cosine:.0f}"
        for cosine in CLIPS
        for what in ("answered by the cache", "... another first match")
    ]
    rows = [[clip, *cells] for clip, cells in clips.items()]
    about = f"Per cent; perceptual hash within {NEAR_BITS} bits; a dash: no hit."
    return f"{table(['clip (frames)', *heads], rows)}\n\n{shelf.source('repeats', about=about)}"


def sessions(shelf: Shelf) -> str:
    """Return what query expansion gains on the same product and costs on others."""
    rows = [
        [
            threshold,
            what,
            row["difference"]["n"],
            percent(row["plain R@1"]),
            percent(row["difference"]),
            percent(row["queries expanded"]),
        ]
        for threshold, kinds in shelf["session"]["expansion"].items()
        for what, row in kinds.items()
    ]
    head = ["threshold", "the second photograph shows", "n", "R@1 without", "with it, points", "queries expanded"]
    return f"{table(head, rows)}\n\n{shelf.source('session', about='Per cent.')}"


def privacy(shelf: Shelf) -> str:
    """Return what a linear probe reads from codes, and how surely a code leads to its photograph."""
    found = shelf["privacy"]
    rows: list[list[Any]] = []
    for name, row in found["inferred"]["classes"].items():
        guess = row["the commonest guess"]
        rows.append(
            [
                f"{name}, right",
                row["64-byte code"]["n"],
                percent(row["64-byte code"]),
                percent(row["float embedding"]),
                percent(guess),
            ]
        )
    for name, row in found["inferred"]["numbers"].items():
        rows.append(
            [
                f"{name}, variance explained",
                row["64-byte code"]["n"],
                percent(row["64-byte code"]),
                percent(row["float embedding"]),
                "",
            ]
        )
    for name, row in found["linked"].items():
        rows.append(
            [f"{name}: nearest of all", row["nearest"]["n"], percent(row["nearest"]), "", percent(row["chance"])]
        )
    head = ["per cent", "n", "64-byte code", "float embedding", "by the commonest guess, by chance"]
    return f"{table(head, rows)}\n\n{shelf.source('privacy')}"


def _summed(parts: Sequence[Sequence[float]]) -> list[str]:
    return _levels(percentiles(np.sum(np.asarray(parts, np.float64), axis=0)))


def _levels(found: Mapping[str, float]) -> list[str]:
    return [ms(found[level], 2) if level in found else TOO_FEW for level in ("p50", "p95")]


def _pair(row: Mapping[str, float]) -> str:
    return f"{row['p50']:.2f} / {row['p95']:.2f} ms"


def _bytes(sent: Mapping[str, Mapping[str, float]], kind: str) -> str:
    return f"{sent[f'{kind}_up']['median']:.0f} / {sent[f'{kind}_down']['median']:.0f} B"


def _machine(result: Mapping[str, Any]) -> str:
    machine = result["machine"]
    return f"{machine['cpu']}; load {machine['load_1m']} before, {result['load_after']} after."
