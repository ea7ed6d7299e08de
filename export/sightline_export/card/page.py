"""The card itself: metrics.json and the pictures of a run folder in, model-card.html and model-card.json out.

Nothing is measured here, so that a card can be made again after a change of its looks. What metrics.json holds for it
beside the figures is the map "evaluation"; every key may be missing, and what is missing is left out of the page:

- "spectrum": eigenvalue shares of the gallery's covariance, largest first;
- "scores": by question, reliability bins of the top cosine (see evaluation/reliability.py);
- "semantic": labels, confusion and reliability of the semantic head (`reliability.semantic_detail`);
- "sources": by source, photographs by role, licences and origins (`evaluation/stage.py`);
- "forced", "unmeasured": the bars that were missed and let through, and those that no figure was held against.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from sightline_export.card import plots, tables
from sightline_export.card.limits import limits
from sightline_export.card.numbers import origin, text
from sightline_export.card.pictures import FOLDER, INDEX
from sightline_shared.errors import InputError

HTML, JSON = "model-card.html", "model-card.json"
TILES = ("robustness.mean", "gate.auroc", "int8.cosine_mean")
TEMPLATE = Path(__file__).with_name("card.html.j2")

Body = Mapping[str, Any]


def write_card(folder: Path) -> tuple[Path, Path]:
    """Write `folder`/model-card.html and .json from what an export left there; returns both paths.

    Raises InputError when the folder holds no metrics.json that an export wrote.
    """
    body = read_body(folder)
    html, data = folder / HTML, folder / JSON
    html.write_text(render(body, read_pictures(folder)), encoding="utf-8")
    data.write_text(json.dumps(summary(body), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return html, data


def read_body(folder: Path) -> Body:
    """Return metrics.json of a run folder; raises InputError."""
    path = folder / "metrics.json"
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: expected the metrics of an export, got '{error}'.", hint="Give the folder of 'export run --out'."
        ) from error
    if not isinstance(body, dict) or not {"bundle", "figures", "comparison"} <= set(body):
        raise InputError(f"{path}: expected the keys bundle, figures and comparison, got something else.")
    return body


def read_pictures(folder: Path) -> dict[str, Any]:
    """Return the index of the run's pictures, every file name replaced by a data URI; empty when there are none."""
    path = folder / FOLDER / INDEX
    if not path.is_file():
        return {}
    index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    inlined: dict[str, Any] = _inlined(index, folder / FOLDER)
    return inlined


def render(body: Body, pictures: Mapping[str, Any]) -> str:
    """Return the page: one HTML text that needs no script, no style sheet and no network."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    figures = body["figures"]
    return template.render(
        bundle=body["bundle"],
        evaluation={"forced": [], "unmeasured": [], **body.get("evaluation", {})},
        tiles=tiles(body),
        tables=_tables(body),
        plots=_plots(body),
        pictures=pictures,
        robustness_mean=text("kept", figures["robustness.mean"]) if "robustness.mean" in figures else "",
        limits=limits(body),
        notice=body.get("recipe", {}).get("notice", ""),
        recipe=json.dumps(body.get("recipe", {}), indent=1, ensure_ascii=False),
        command=body.get("command", ""),
        machine=body.get("machine", {}),
        timings=body.get("timings_s", {}),
        total_size=sum(body["bundle"].get("files", {}).values()),
    )


def summary(body: Body) -> dict[str, Any]:
    """Return the card as data: everything on the page that is a number or a statement."""
    return {
        "format": 1,
        **{key: body[key] for key in ("bundle", "command", "machine", "timings_s") if key in body},
        "artefacts": {
            name: {
                key.rpartition(".")[2]: entry
                for key, entry in body["figures"].items()
                if key.startswith(f"parity.{name}.") and key.count(".") == name.count(".") + 2
            }
            for name in tables.artefact_names(body["figures"])
        },
        "retrieval": body["comparison"],
        "figures": body["figures"],
        "evaluation": {key: value for key, value in body.get("evaluation", {}).items() if key != "spectrum"},
        "limits": limits(body),
        "notice": body.get("recipe", {}).get("notice", ""),
    }


def tiles(body: Body) -> list[dict[str, str]]:
    """Return the few numbers on top: the first hits of every question, and what else a reader asks first."""
    first: Mapping[str, Any] = next(iter(body["comparison"].values()), {})
    chosen = [(name, entry) for name, entry in first.items() if name.endswith(".R@1")]
    chosen += [(name, body["figures"][name]) for name in TILES if name in body["figures"]]
    return [
        {
            "name": name.replace(".R@1", " R@1").replace(".", " ").replace("_", " "),
            "value": text(name, entry, interval=False),
            "span": text(name, entry).partition(" [")[2].rstrip("]").replace(", ", " to "),
            "tip": origin(entry),
        }
        for name, entry in chosen
    ]


def _tables(body: Body) -> dict[str, tables.Table]:
    figures = body["figures"]
    measured = ("parity.", "robustness.", "generations.", "regression.", "codec.")
    return {
        "artefacts": tables.artefacts(figures),
        "int8": tables.named(figures, tables.starting("int8.", "latency.")),
        "retrieval": tables.retrieval(body),
        "codec": tables.codec(figures),
        "outside": tables.named(figures, tables.starting("gate.auroc", "gate.fpr95", "gate.outside", "gate.studio")),
        "kept": tables.named(figures, tables.starting("gate.good", "decision.")),
        "sensitive": tables.named(figures, tables.starting("sensitive.", "semantic.")),
        "robustness": tables.robustness(figures),
        "robustness_by_source": tables.named(
            figures, tables.starting("robustness.mean", "robustness.clean"), "robustness."
        ),
        "counterfactual": tables.named(figures, tables.starting("counterfactual."), "counterfactual."),
        "stability": tables.named(figures, tables.starting("stability.", "collapse.")),
        "generations": tables.generations(figures),
        "sources": tables.sources(body),
        "rest": tables.named(figures, lambda name: not name.startswith(measured)),
    }


def _plots(body: Body) -> dict[str, str]:
    """Return every plot whose numbers are there, as SVG text."""
    details, found = body.get("evaluation", {}), {}
    steps = body.get("learning", {}).get("loss") or []
    if len(steps) > 1:
        found["loss"] = plots.loss_curve(steps)
    if details.get("spectrum"):
        found["spectrum"] = plots.spectrum(details["spectrum"])
    if details.get("scores"):
        found["scores"] = plots.reliability(details["scores"], "cosine of the first hit", diagonal=False)
    semantic = details.get("semantic")
    if semantic:
        found["semantic"] = plots.reliability({"semantic head": semantic["reliability"]}, "confidence", diagonal=True)
        found["confusion"] = plots.confusion(semantic["confusion"], semantic["labels"])
    points = _artefact_points(body["figures"])
    if len(points) > 1:
        found["pareto"] = plots.pareto(points)
    return found


def _artefact_points(figures: Mapping[str, Any]) -> list[tuple[str, float, float, float]]:
    wanted = ("one_thread_ms", "cosine_p1", "size_bytes")
    points = []
    for name in tables.artefact_names(figures):
        entries = [figures.get(f"parity.{name}.{key}") for key in wanted]
        if all(entries):
            across, up, size = (float(entry["value"]) for entry in entries if entry)
            points.append((name, across, up, size))
    return points


def _inlined(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {key: _inlined(inner, folder) for key, inner in value.items()}
    if isinstance(value, list):
        return [_inlined(inner, folder) for inner in value]
    if isinstance(value, str) and value.endswith(".webp"):
        data = (folder / Path(value).name).read_bytes()
        return "data:image/webp;base64," + base64.b64encode(data).decode()
    return value
