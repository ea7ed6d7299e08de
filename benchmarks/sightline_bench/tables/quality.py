"""Tables of `results/quality.json`: what is found, what is turned away, what the service says, what a text adds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sightline_bench.tables.cells import percent, share, table
from sightline_bench.tables.shelf import Shelf

NAME = "quality"
VARIANTS = {
    "float": "float student",
    "int8": "int8",
    "int8 + 64-byte code": "int8 + 64-byte code",
    "whole path": "whole path, re-ranked on the device",
}
RECALL = (
    ("grocery", "grocery", ("R@1", "mAP@10")),
    ("packaged", "packaged products", ("R@1",)),
    ("clothing", "clothing", ("R@1", "mAP@10")),
    ("studio", "phone against studio", ("R@1", "R@5")),
)
SAID = (
    ("known: grocery of photographs", "grocery, photographs in the catalogue"),
    ("known: clothing of photographs", "clothing, photographs in the catalogue"),
    ("known: grocery of packshots", "grocery, one packshot an item"),
    ("far: animal of photographs", "animals, if the gate let all of them through"),
    ("far: object of photographs", "objects, if the gate let all of them through"),
    ("near: grocery of photographs", "grocery, its class taken out of the catalogue"),
    ("near: clothing of photographs", "clothing, its class taken out of the catalogue"),
)
# The service's two default weights; without a text tower words count alone.
TEXTS = {
    "the picture alone": "picture",
    "late, words 0.3, meaning 0": "picture and the text's words",
    "late, words 0.3, meaning 0.2": "picture, words and meaning (text tower)",
}
SHELVES = {"test, studio": "one packshot an item", "test, shop": "training photographs"}
# What `category` of the catalogue's items counts by default.
CATEGORY_WEIGHT = "0.05"


def recall(shelf: Shelf) -> str:
    """Return recall by task: the float student, int8, codes, the whole path."""
    found = shelf[NAME]["retrieval"]
    rows = [
        [f"{title} {metric}", found[task]["float"][metric]["n"]]
        + [percent(found[task][variant][metric]) for variant in VARIANTS]
        for task, title, metrics in RECALL
        for metric in metrics
    ]
    sizes = shelf[NAME]["galleries"]
    about = f"Per cent, 95 % bootstrap intervals; galleries of {sizes['shop']:,} training photographs and, in the last rows, {sizes['studio']} studio pictures."
    return _with_source(shelf, table(["", "n", *VARIANTS.values()], rows), about)


def strangers(shelf: Shelf) -> str:
    """Return what becomes of photographs that no shop holds, and what of the shop's own is turned away with them."""
    found, said, sensitive = (shelf[NAME][part] for part in ("strangers", "decisions", "sensitive"))
    gate, out = found["gate"], said["strangers"]
    shop = [said[name]["not_found on device"] for name in ("grocery", "clothing")]
    rows = [
        ["gate on the device: AUROC", percent(gate["AUROC"])],
        ["strangers let in when 95 of 100 shop photographs are kept", percent(gate["FPR95"])],
        ["at the shipped thresholds: strangers turned away on the device", percent(out["not_found on device"])],
        ["... and the rest of them, answered by the service: unsure / found", _all([out["unsure"], out["found"]])],
        ["... and shop photographs turned away on the device: grocery / clothing", _all(shop)],
    ]
    if sensitive:
        missed = {kind: row["missed, subjects left out (export)"] for kind, row in sensitive["kinds"].items()}
        counts, alarms = " / ".join(str(row["n"]) for row in missed.values()), sensitive["false alarms"]
        rows += [
            [
                f"sensitive subjects, left out of training in turn: missed of {counts} {' / '.join(missed)}",
                _all(missed.values()),
            ],
            [f"taken for a sensitive subject: {' / '.join(alarms)}", _all(alarms.values())],
        ]
    unlike, alike = out["found"]["n"], gate["AUROC"]["n"] - out["found"]["n"]
    head = [f'"no visual match", {unlike} strangers against {alike:,} shop photographs', "per cent"]
    return _with_source(shelf, table(head, rows))


def decisions(shelf: Shelf) -> str:
    """Return what the service says by its probability, and how often it is right."""
    said = shelf[NAME]["decision"]["said"]
    rows = []
    for key, title in SAID:
        row = said[key]["probability"]
        right = percent(row["found, right"]) if key.startswith("known") else "none can be"
        rows.append(
            [title, row["found"]["n"], percent(row["found"]), right, share(row["unsure"]), percent(row["not_found"])]
        )
    head = ["what the service says, per cent", "n", "found", "... and right", "unsure", "not_found"]
    return _with_source(shelf, table(head, rows), "`found` means more probably right than not.")


def calibration(shelf: Shelf) -> str:
    """Return how far the probability is off, as shipped and refitted to the catalogue."""
    rows = []
    for key, ways in shelf[NAME]["decision"]["calibration"].items():
        shipped, own = ways["probability"], ways["own"]
        means = f"{100 * shipped['mean probability']:.0f} / {100 * shipped['right']:.0f}"
        rows.append([key, percent(shipped["error"]), means, percent(own["error"])])
    head = ["half of the questions without an answer", "calibration error, points"]
    head += ["it says / are right, per cent", "refitted to the catalogue: error"]
    return _with_source(shelf, table(head, rows))


def categories(shelf: Shelf) -> str:
    """Return what the soft signal of categories gains and costs at its default weight."""
    rows = []
    for task, title in (("grocery", "grocery"), ("clothing", "clothing"), ("studio", "phone against studio")):
        without, with_it = (shelf[NAME]["category"][task][weight] for weight in ("0", CATEGORY_WEIGHT))
        gained = [percent(with_it[f"{name} gained"]) for name in ("R@1", "R@5")]
        rows.append([title, without["R@1"]["n"], *gained, *(percent(each["mAP@10"]) for each in (without, with_it))])
    head = [
        f"`category_weight` {CATEGORY_WEIGHT}, per cent",
        "n",
        "R@1 gained",
        "R@5 gained",
        "mAP@10 without",
        "with it",
    ]
    return _with_source(shelf, table(head, rows))


def texts(shelf: Shelf) -> str:
    """Return R@1 of a photograph with a sentence about its variant, another variant, nothing, another thing."""
    fusion = shelf[NAME]["fusion"]
    found = fusion["found"]
    asked = list(found["test, studio"]["the picture alone"])  # first: the variant in the picture
    rows = [
        [title, way, found[key][name][asked[0]]["n"], *(percent(found[key][name][task]) for task in asked)]
        for key, title in SHELVES.items()
        for name, way in TEXTS.items()
        if name in found[key]
    ]
    parts = [f"{part} {_shared(row)}" for part, row in fusion["by words"]["studio"].items()]
    about = f"R@1, per cent. One packshot an item, a text about the variant: {'; '.join(parts)}."
    return _with_source(shelf, table(["catalogue", "ranked by", "n", *asked], rows), about)


def texts_short(shelf: Shelf) -> str:
    """Return the same for one packshot an item: a text about the variant, and one about nothing."""
    found = shelf[NAME]["fusion"]["found"]["test, studio"]
    asked = ("the variant in the picture", "text about nothing")
    rows = [[way, *(percent(found[name][task]) for task in asked)] for name, way in TEXTS.items() if name in found]
    n = found["the picture alone"][asked[0]]["n"]
    head = [f"right first matches of {n}, per cent", *(f"a sentence: {task}" for task in asked)]
    return _with_source(shelf, table(head, rows))


def _shared(row: dict[str, Any]) -> str:
    """Return the picture alone and the best of words and meaning, of texts that share words with an item or do not."""
    alone = row["the picture alone"]
    said = row.get("late, words and meaning", row["late, words"])
    return f"{percent(alone)}, with it {percent(said)} (n {alone['n']})"


def _all(figures: Iterable[dict[str, Any]]) -> str:
    return " / ".join(percent(figure) for figure in figures)


def _with_source(shelf: Shelf, text: str, about: str = "") -> str:
    return f"{text}\n\n{shelf.source(NAME, about=about)}"
