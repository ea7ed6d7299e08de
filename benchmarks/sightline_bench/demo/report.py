"""The demo's report: one self-contained HTML file with the pictures side by side."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import jinja2
from PIL import ImageOps

from sightline_bench.demo.run import Asked, InPocket, Trial
from sightline_bench.demo.scenario import Scenario
from sightline_shared.errors import SightlineError
from sightline_shared.preprocess import load_image

SHOWN_MATCHES = 5
DECIDERS = {"device": "device", "cache": "cache", "pocket": "pocket index on the device", "cloud": "cloud"}
COLOURS = {
    "decode": "#9db4c0",
    "preprocess": "#6f97a8",
    "quality": "#c2b280",
    "embed": "#2f6690",
    "gate": "#81a684",
    "encode": "#e0a458",
    "pocket": "#a3b18a",
    "pack": "#b8a1d9",
    "service": "#d1495b",
    "loopback HTTP": "#edae9f",
    "unpack": "#8d99ae",
    "rerank": "#5c946e",
}


def render(
    scenario: Scenario,
    asked: list[Asked],
    pocket: InPocket,
    trial: Trial,
    *,
    trial_n: int,
    bundle: str,
    machine: str,
) -> str:
    """Return the report as HTML; every picture is inside it, and every string from outside is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("report.html.j2").render(
        cards=[_card(one, scenario) for one in asked],
        pocket=pocket,
        pocket_cards=[_card(one, scenario) for one in pocket.answers],
        trial=trial,
        trial_n=trial_n,
        strangers_n=len(scenario.strangers),
        bundle=bundle,
        machine=machine,
        items=len(scenario.pictures),
        own_photos=scenario.own_photos,
    )


def stages_of(asked: Asked) -> list[tuple[str, float]]:
    """Return (stage, milliseconds) in order, the round trip split into the service's part and HTTP on loopback."""
    if not asked.answer:
        return []
    stages = dict(asked.answer.stages_ms)
    service = stages.get("cloud.total", sum(ms for name, ms in stages.items() if name.startswith("cloud.")))
    shown: list[tuple[str, float]] = []
    for name, ms in stages.items():
        if name == "round_trip":
            shown += [("service", service)] if service else []
            shown.append(("loopback HTTP", max(0.0, ms - service)))
        elif not name.startswith("cloud."):
            shown.append((name, ms))
    return shown


def _card(asked: Asked, scenario: Scenario) -> dict[str, Any]:
    answer = asked.answer
    stages = stages_of(asked)
    total = sum(ms for _, ms in stages) or 1.0
    return {
        "title": asked.question.title,
        "picture": _picture(asked.question.photo, 440),
        "outcome": asked.outcome.replace("_", " "),
        "style": answer.outcome.value if answer else "error",
        "decided": f"decided by the {DECIDERS[answer.decided_by]} in {total:.1f} ms"
        if answer
        else "what the app is told",
        "reasons": list(answer.reasons) if answer else [asked.error.message, asked.error.hint] if asked.error else [],
        "matches": [
            {
                "id": match.id,
                "title": match.metadata.get("title") or scenario.titles.get(match.id) or match.id,
                "score": match.score,
                "true": match.id == asked.question.truth,
                "picture": _picture(scenario.pictures.get(match.id), 256),
            }
            for match in (answer.matches if answer else ())[:SHOWN_MATCHES]
        ],
        "stages": [
            {"name": name, "ms": ms, "share": round(100 * ms / total, 2), "colour": COLOURS.get(name, "#999")}
            for name, ms in stages
        ],
        "sent": _sent(asked),
        "code": answer.code.hex() if answer and answer.code else "",
    }


def _sent(asked: Asked) -> str:
    answer = asked.answer
    if not answer:
        return ""
    if answer.trouble:
        return f"The service could not be asked ({answer.trouble}); the answer stands."
    if not answer.final:
        return "The query is on its way to the service meanwhile."
    if not answer.body_bytes_up:
        return "Nothing was sent."
    return (
        f"{answer.body_bytes_up} bytes sent and {answer.body_bytes_down} received as msgpack "
        f"({answer.http_bytes_up} and {answer.http_bytes_down} with HTTP headers). In it, the whole question:"
    )


def _picture(path: Path | None, side: int) -> str:
    if path is None:
        return ""
    try:
        image = ImageOps.contain(load_image(path), (side, side))
    except SightlineError:
        return ""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
