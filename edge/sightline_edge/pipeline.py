"""The device path, from a frame to the code that is sent: each stage may end it, with a reason an app can show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline_edge import quality
from sightline_edge.answer import Outcome
from sightline_edge.device import Device
from sightline_shared.budget import Budget
from sightline_shared.preprocess import Frame, load_image, to_tensor


@dataclass(frozen=True, eq=False)
class Observation:
    """What the device made of one frame.

    `stop` is set when the device answers by itself; then `code` is None and nothing may be sent. `reason` says why it
    stopped, or what it doubts.
    `embedding` is `(d,) float32` of unit length, `code` the bytes that stand for it. `sensitive_score` is in [0, 1].
    """

    quality: quality.Quality
    stop: Outcome | None = None
    reason: str | None = None
    gate_score: float | None = None
    embedding: NDArray[np.float32] | None = None
    code: bytes | None = None
    sensitive_score: float = 0.0


def observe(frame: Frame, device: Device, budget: Budget) -> Observation:
    """Take `frame` through the device path; raises InputError when it is not a picture."""
    with budget.stage("decode"):
        image = load_image(frame)

    with budget.stage("preprocess"):
        tensor = to_tensor(image, device.bundle.manifest.input_size)

    with budget.stage("quality"):
        seen = quality.measure(tensor)
        problem = quality.problem(seen, device.gate)
    if problem:
        return Observation(seen, Outcome.RETAKE, problem)

    with budget.stage("embed"):
        embedding = device.runtime.embed(tensor[np.newaxis])[0]

    with budget.stage("sensitive"):
        sensitive = sensitive_score(embedding, device)

    with budget.stage("gate"):
        score = device.gate.score(embedding)
    if score < device.gate.reject_below:
        reason = f"no visual match: unlike anything in the catalogue ({score:.2f} < {device.gate.reject_below:.2f})"
        return Observation(seen, Outcome.NOT_FOUND, reason, score, embedding, sensitive_score=sensitive)

    if device.heads and device.heads.sensitive and sensitive >= device.heads.sensitive.unsure_above:
        reason = f"sensitive subject: it looks like a kind that must not be answered like a product ({sensitive:.2f})"
        return Observation(seen, Outcome.RESTRICTED, reason, score, embedding, sensitive_score=sensitive)

    doubt = f"the device is unsure: little like the catalogue ({score:.2f})" if score < device.gate.sure_above else None

    with budget.stage("encode"):
        code = device.codec.encode(embedding[np.newaxis])[0].tobytes()

    return Observation(seen, None, doubt, score, embedding, code, sensitive)


def sensitive_score(embedding: NDArray[np.float32], device: Device) -> float:
    """Return the sensitive head's score in [0, 1] of `embedding` `(d,)`; 0 from a bundle without that head."""
    if device.heads is None or device.heads.sensitive is None:
        return 0.0
    return device.heads.sensitive.score(embedding)
