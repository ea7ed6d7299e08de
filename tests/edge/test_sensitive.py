"""A sensitive subject that the gate lets through ends the device path; a bundle without the head goes on as before."""

import dataclasses

import numpy as np
import pytest
from support.tiny_bundle import picture

from sightline_edge.answer import Outcome
from sightline_edge.device import Device
from sightline_edge.pipeline import observe
from sightline_shared.budget import Budget
from sightline_shared.bundle import Bundle
from sightline_shared.heads import Heads, Semantic, Sensitive


def with_head(device: Device, embedding: np.ndarray, unsure_above: float) -> Device:
    """The device with a head that scores `embedding` at about 1 and its opposite at about 0."""
    dim = len(embedding)
    semantic = Semantic(("a", "b"), np.zeros((2, dim), np.float32), np.zeros(2, np.float32))
    head = Sensitive(("xray",), (10 * embedding).astype(np.float32), 0.0, unsure_above, max(unsure_above, 0.99))
    return dataclasses.replace(device, heads=Heads(semantic, head))


def test_a_sensitive_subject_is_not_asked_about(tiny: Bundle) -> None:
    device = dataclasses.replace(Device.load(tiny), heads=None)
    plain = observe(picture(3), device, Budget(1000))
    assert plain.stop is None and plain.sensitive_score == 0.0 and plain.embedding is not None

    seen = observe(picture(3), with_head(device, plain.embedding, 0.9), Budget(1000))
    assert seen.stop is Outcome.RESTRICTED and seen.code is None
    assert seen.sensitive_score == pytest.approx(1.0, abs=1e-3)
    assert seen.reason is not None and "sensitive" in seen.reason

    other = observe(picture(3), with_head(device, -plain.embedding, 0.9), Budget(1000))
    assert other.stop is None and other.code == plain.code and other.sensitive_score < 0.01


def test_what_the_gate_turns_away_is_no_match_whatever_the_head_says(tiny: Bundle) -> None:
    device = Device.load(tiny)
    embedding = observe(picture(3), device, Budget(1000)).embedding
    assert embedding is not None
    strict = dataclasses.replace(device, gate=dataclasses.replace(device.gate, reject_below=1.5))
    seen = observe(picture(3), with_head(strict, embedding, 0.9), Budget(1000))
    assert seen.stop is Outcome.NOT_FOUND and seen.sensitive_score > 0.9 and seen.code is None
