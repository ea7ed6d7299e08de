"""What a run leaves for people and tools: metrics.json and report.md."""

from __future__ import annotations

import json
import platform
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime
import torch

from sightline_export.evaluate import Figure
from sightline_export.recipe import Recipe, to_table
from sightline_shared.bundle import Bundle

# An absolute path; what follows a variable, a dot or a letter is part of a relative one or of a URL.
ABSOLUTE = re.compile(r"(?<![\w.:/}])/(?:[^\s/'\"=]+/)*([^\s/'\"=]+)")

COLUMNS = (
    "int8: the shipped student asks a gallery that it embedded itself. float: the same before quantization. code: the",
    "decoded code asks the int8 gallery, as the service sees it. teacher gallery: the int8 student asks what the teacher",
    "embedded. teacher: the teacher asks its own gallery.",
)


def write_report(
    folder: Path,
    recipe: Recipe,
    bundle: Bundle,
    found: Mapping[str, Figure],
    columns: Mapping[str, Mapping[str, Figure]],
    learning: Mapping[str, object],
    timings_s: Mapping[str, float],
    evaluation: Mapping[str, object] | None = None,
) -> None:
    """Write `folder`/metrics.json (every figure with n, interval and data) and `folder`/report.md.

    `evaluation` is what the model card draws beside the figures: card/page.py lists its keys.
    """
    body = {
        "bundle": {
            "label": bundle.label,
            "digest": bundle.digest,
            "space": bundle.manifest.space,
            "files": {name: entry.size_bytes for name, entry in bundle.manifest.files.items()},
            "decision": dict(bundle.manifest.decision),
        },
        "command": elided(shlex.join(["sightline", *sys.argv[1:]])),
        "machine": {
            "processor": platform.machine(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
        "figures": {name: figure.to_dict() for name, figure in found.items()},
        "comparison": {
            column: {name: figure.to_dict() for name, figure in rows.items()} for column, rows in columns.items()
        },
        "learning": dict(learning),
        "evaluation": dict(evaluation or {}),
        "timings_s": dict(timings_s),
        "recipe": elided(to_table(recipe)),
    }
    (folder / "metrics.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    (folder / "report.md").write_text("\n".join(_lines(body, bundle, found, columns)) + "\n", encoding="utf-8")


def elided(value: Any) -> Any:
    """Return text, or plain data with text in it, in which an absolute path keeps its last part alone: `.../rendered`.

    Reports and cards are published; where the files lay on the machine that made them is nobody's business.
    """
    if isinstance(value, str):
        return ABSOLUTE.sub(r".../\1", value)
    if isinstance(value, Mapping):
        return {key: elided(part) for key, part in value.items()}
    return [elided(part) for part in value] if isinstance(value, list | tuple) else value


def _lines(
    body: Mapping[str, object], bundle: Bundle, found: Mapping[str, Figure], columns: Mapping[str, Mapping[str, Figure]]
) -> list[str]:
    lines = [f"# {bundle.label}", "", f"Made by `{body['command']}`, {bundle.manifest.created}.", ""]
    lines += ["## Retrieval", "", "Value [95 % interval]; n is the number of queries.", *COLUMNS, ""]
    names = list(next(iter(columns.values()), {}))
    lines += ["| figure | n | " + " | ".join(columns) + " |", "|---" * (len(columns) + 2) + "|"]
    for name in names:
        cells = [_cell(rows[name]) for rows in columns.values()]
        lines.append(f"| {name} | {next(iter(columns.values()))[name].n} | " + " | ".join(cells) + " |")
    lines += ["", "## Everything else", "", "| figure | value | n | data |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {_cell(figure)} | {figure.n} | {figure.data} |"
        for name, figure in found.items()
        if name not in names
    ]
    lines += ["", "## Files", "", "| file | bytes |", "|---|---|"]
    lines += [f"| {name} | {entry.size_bytes:,} |" for name, entry in sorted(bundle.manifest.files.items())]
    return lines


def _cell(figure: Figure) -> str:
    if figure.interval is None:
        return f"{figure.value:.4g}"
    return f"{figure.value:.3f} [{figure.interval[0]:.3f}, {figure.interval[1]:.3f}]"
