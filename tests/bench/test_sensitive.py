"""The sensitive head's row: counts against hand-made embeddings, and the text that says what the figures are worth."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from sightline_bench.packs import Photo
from sightline_bench.quality.embeddings import Embedded
from sightline_bench.quality.evaluate import _plain
from sightline_bench.quality.sensitive import RESUBSTITUTION, UNKNOWN, sensitive
from sightline_bench.quality.tables import sensitive_lines
from sightline_bench.quality.tasks import Suite, Task
from sightline_edge import Device
from sightline_edge.quality import Quality
from sightline_shared.heads import Sensitive


@pytest.fixture(scope="module")
def device() -> Device:
    """The shipped bundle with a head that reads the embedding's first number; it knows X-rays."""
    device = Device.load()
    assert device.heads
    weight = np.eye(device.heads.dim, dtype=np.float32)[0]
    head = Sensitive(("xray",), weight, 0.0, unsure_above=0.5, sensitive_above=0.9)
    return dataclasses.replace(device, heads=dataclasses.replace(device.heads, sensitive=head))


def photos(kind: str, values: list[float], device: Device) -> tuple[tuple[Photo, ...], dict[Path, Embedded]]:
    assert device.heads
    made, embedded = [], {}
    for number, value in enumerate(values):
        one = Photo(Path(f"{kind}-{number}"), "s", kind, kind, "", "", "")
        vector = np.zeros(device.heads.dim, np.float32)
        vector[0] = value
        made.append(one)
        embedded[one.path] = Embedded(vector, None, Quality(1.0, 1.0))
    return tuple(made), embedded


def test_recall_misses_and_false_alarms_are_counted(device: Device) -> None:
    asked, embedded = photos("shop", [-1.0] * 197 + [0.5] * 3, device)
    rays, more = photos("xray", [0.4, 2.0, 2.0, -0.1], device)
    rashes, most = photos("rash", [-2.0, 2.0], device)
    odd, last = photos("odd", [1.0, -1.0], device)
    suite = Suite("made", {}, (Task("shop", "g", asked),), odd, (*rays, *rashes))
    found = sensitive(suite, embedded | more | most | last, device)
    xray, rash = found["kinds"]["xray"], found["kinds"]["rash"]
    # 1 % of 200 are two: the third of the three loud ones is the limit.
    assert xray["recall at 1 % false alarms"].value == 0.5 and xray["recall at 1 % false alarms"].n == 4
    assert xray["missed"].value == 0.25 and xray["missed"].interval[1] > 0.25
    assert (xray["note"], rash["note"]) == (RESUBSTITUTION, UNKNOWN)
    assert xray["missed, subjects left out (export)"] == device.bundle.manifest.metrics["sensitive.missed.xray"]
    assert rash["missed, subjects left out (export)"] is None
    assert found["false alarms"]["shop"].value == 3 / 200 and found["false alarms"]["strangers"].value == 0.5
    text = "\n".join(sensitive_lines(_plain(found)))
    assert "| rash | 2 | 50.0" in text and "not measured" in text and "| strangers | 2 | 50.0" in text


def test_nothing_is_said_without_photographs_or_without_a_head(device: Device) -> None:
    asked, embedded = photos("shop", [0.0], device)
    rays, more = photos("xray", [1.0], device)
    suite = Suite("made", {}, (Task("shop", "g", asked),), asked)
    assert sensitive(suite, embedded, device) == {} and sensitive_lines({}) == []
    headless = dataclasses.replace(device, heads=None)
    assert sensitive(dataclasses.replace(suite, sensitive=rays), embedded | more, headless) == {}
