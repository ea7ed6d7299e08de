"""Show the whole path once: a catalogue, the service, and photographs asked about it, with a table and a report.

Everything is real and runs here: the service is started in this process and asked over HTTP on loopback. Without
--photos the catalogue is rendered; with it, your own pictures are indexed and altered views of them are asked about.

Examples:
  sightline demo
  sightline demo --photos ~/Pictures/shop --out ./demo-report
  sightline demo --json
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from sightline_bench import machine
from sightline_bench.demo.gate import fitted
from sightline_bench.demo.report import render, stages_of
from sightline_bench.demo.run import Asked, InPocket, ask, ask_all, ask_at_once, ask_offline, summarize
from sightline_bench.demo.scenario import Scenario, photo_scenario, sample_scenario
from sightline_bench.out import out_folder
from sightline_bench.service import running
from sightline_edge import Client, Device, PocketIndex

DEFAULT_OUT = "demo-report"


@dataclass(frozen=True)
class Played:
    """All that was asked; `problems` are the pictures that could not be indexed."""

    questions: list[Asked]
    pocket: InPocket
    trial: list[Asked]
    strangers: list[Asked]
    problems: list[dict[str, str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--photos", metavar="DIR", help="a folder of your own pictures in place of the sample catalogue"
    )
    parser.add_argument(
        "--out", default=DEFAULT_OUT, help=f"folder for the report and its pictures (default {DEFAULT_OUT})"
    )
    parser.add_argument("--bundle", help="a bundle folder (default SIGHTLINE_BUNDLE, else the SDK's own)")
    parser.add_argument("--seed", type=int, default=0, help="another seed shows other items (default 0)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    out = out_folder(args.out)
    with Progress(console=Console(stderr=True)) as bar:
        device = Device.load(args.bundle)
        if args.photos:
            scenario = photo_scenario(Path(args.photos).expanduser(), out, seed=args.seed)
            step = bar.add_task("fitting the gate to your pictures", total=1)
            device = fitted(device, list(scenario.pictures.values()), seed=args.seed)
            bar.advance(step)
        else:
            step = bar.add_task("rendering the catalogue", total=None)
            scenario = sample_scenario(
                out, seed=args.seed, progress=lambda done, total: bar.update(step, completed=done, total=total)
            )
        played = play(scenario, device, bar)
    asked, pocket, trial, summary = (
        played.questions,
        played.pocket,
        played.trial,
        summarize(played.trial, played.strangers),
    )
    page = out / "index.html"
    page.write_text(
        render(
            scenario, asked, pocket, summary, trial_n=len(trial), bundle=device.bundle.label, machine=machine_line()
        ),
        encoding="utf-8",
    )
    return {
        "report": str(page),
        "catalogue": {"items": len(scenario.pictures), "own_photos": scenario.own_photos, "problems": played.problems},
        "bundle": {"label": device.bundle.label, "digest": device.bundle.digest},
        "questions": [one.to_dict() for one in asked],
        "stages": [dict(stages_of(one)) for one in asked],
        "pocket": {
            "items": pocket.items,
            "bytes": pocket.size_bytes,
            "questions": [one.to_dict() for one in pocket.answers],
            "stages": [dict(stages_of(one)) for one in pocket.answers],
        },
        "trial": {"n": len(trial), "strangers_n": len(played.strangers), **summary.to_dict()},
        "machine": machine.describe(),
    }


def play(scenario: Scenario, device: Device, bar: Progress) -> Played:
    """Index the catalogue, ask everything, stop the service, ask what is to be asked without it."""
    with_service = [question for question in scenario.questions if question.service_up]
    without = [question for question in scenario.questions if not question.service_up]
    with tempfile.TemporaryDirectory(prefix="sightline-demo-") as data:
        index = PocketIndex.open_or_empty(Path(data) / "pocket.slp", device)
        with running(Path(data), device.bundle, {"demo": scenario.catalogue}, bar) as service:
            asked = ask_all(service.url, service.keys["demo"], device, with_service)
            step = bar.add_task("asking about more photographs", total=None)
            # Each shows one thing that fills the frame: what the frame alone says. 'sightline bench crops' measures the rest.
            trial = ask_all(service.url, service.keys["demo"], device, scenario.trial, crops=1)
            strangers = ask_all(service.url, service.keys["demo"], device, scenario.strangers, crops=1)
            bar.update(step, total=1, completed=1)
            with Client(service.url, api_key=service.keys["demo"], device=device, pocket=index) as client:
                synced = client.sync_pocket()
                answers = ask_at_once(client, scenario.questions[0])
        with Client(service.url, api_key=service.keys["demo"], device=device) as client:
            asked += [ask(client, question) for question in without]
        with Client(service.url, api_key=service.keys["demo"], device=device, pocket=index) as client:
            answers.append(ask_offline(client, scenario.questions[0]))
    in_pocket = InPocket(synced.items, synced.bytes_down, answers)
    return Played(asked, in_pocket, trial, strangers, service.reports["demo"].problems)


def machine_line() -> str:
    about = machine.describe()
    return f"Run on {about['cpu']}, {about['cores']} cores, load {about['load_1m']}; sightline {about['sightline']}."


def show(result: dict[str, Any]) -> str:
    console = Console(width=max(132, Console().width), file=io.StringIO(), force_terminal=False, record=True)
    console.print(table_of("One photograph, one answer", result["questions"], result["stages"]))
    pocket = result["pocket"]
    about = f"The same, on a device with a pocket index: {pocket['items']:,} items in {pocket['bytes']:,} bytes"
    console.print(table_of(about, pocket["questions"], pocket["stages"]))
    trial, found = result["trial"], result["trial"]["first"]
    low, high = found["interval"]
    problems = result["catalogue"]["problems"]
    lines = [
        console.export_text().rstrip(),
        "",
        f"{trial['n']} more photographs of catalogue items, asked about as whole frames ({result['catalogue']['items']} indexed): the right item first "
        f"in {100 * found['value']:.0f} % [{100 * low:.0f}, {100 * high:.0f}], among the first five in "
        f"{100 * trial['among_five']['value']:.0f} %; answers: "
        + ", ".join(f"{count} {name}" for name, count in trial["outcomes"].items()),
    ]
    lines.append(
        f"{trial['strangers_n']} pictures of nothing in the catalogue: "
        + ", ".join(f"{count} {name}" for name, count in trial["strangers"].items())
    )
    lines += [f"{len(problems)} pictures could not be read; the first: {problems[0]['message']}"] if problems else []
    lines.append(f"Report with the pictures side by side: {result['report']}")
    return "\n".join(lines)


def table_of(title: str, questions: Sequence[dict[str, Any]], stages: Sequence[dict[str, float]]) -> Table:
    """Return a table: a column a question, a row a figure."""
    table = Table(title=title, title_justify="left", show_lines=False)
    table.add_column("")
    for question in questions:
        table.add_column(question["question"], overflow="fold")
    for name, cell in ROWS:
        table.add_row(name, *(cell(question) for question in questions))
    table.add_section()
    for stage in dict.fromkeys(name for each in stages for name in each):
        table.add_row(f"ms {stage}", *(f"{each[stage]:.2f}" if stage in each else "" for each in stages))
    table.add_row("ms in all", *(f"{sum(each.values()):.2f}" if each else "" for each in stages))
    return table


def _outcome(question: dict[str, Any]) -> str:
    return str(question["error"]["code"] if "error" in question else question["outcome"])


def _reason(question: dict[str, Any]) -> str:
    return str(question["error"]["hint"]) if "error" in question else "; ".join(question["reasons"])


def _bytes(question: dict[str, Any], body: str, http: str) -> str:
    if not question.get("final", True):
        return "on its way"
    if "error" in question or not question["bytes"][body]:
        return "0" if "error" not in question else ""
    return f"{question['bytes'][body]} ({question['bytes'][http]} with headers)"


def _match(place: int) -> Callable[[dict[str, Any]], str]:
    def cell(question: dict[str, Any]) -> str:
        matches = question.get("matches", [])
        if place >= len(matches):
            return ""
        match = matches[place]
        mark = " <- it" if match["id"] == question["truth"] else ""
        return f"{match['score']:.3f} {match['metadata'].get('title') or match['id']}{mark}"

    return cell


ROWS: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
    ("decision", _outcome),
    ("decided by", lambda question: question.get("decided_by", "")),
    ("reason", _reason),
    ("match 1", _match(0)),
    ("match 2", _match(1)),
    ("match 3", _match(2)),
    ("bytes up", lambda question: _bytes(question, "body_up", "http_up")),
    ("bytes down", lambda question: _bytes(question, "body_down", "http_down")),
]
