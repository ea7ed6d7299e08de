"""The device path, from a frame to the codes that are sent: each stage may end it, with a reason an app can show.

    frame -> quality -> embed, gate, sensitive -> further crops, the same -> codes

What follows (local answers, the wire, the cloud's answer) is the client's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sightline_edge import quality
from sightline_edge.answer import Outcome
from sightline_edge.crops import choose
from sightline_edge.device import Device
from sightline_edge.frame import Box, Tap, open_picture
from sightline_edge.gate import Gate
from sightline_shared.budget import Budget
from sightline_shared.errors import ConfigInvalid
from sightline_shared.phash import dhash
from sightline_shared.preprocess import Frame, luma, to_tensor
from sightline_shared.protocol import MAX_CODES, MAX_CODES_BYTES


@dataclass(frozen=True, eq=False)
class Crop:
    """One region of the frame: `embedding` is `(d,) float32` of unit length, `code` the bytes that stand for it.

    `code` is None when the crop is not sent: the gate turned it away, or the device stopped. Scores are in [0, 1].
    `proposed` says that the device chose the region by itself.
    """

    box: Box
    embedding: NDArray[np.float32]
    gate_score: float
    sensitive_score: float
    code: bytes | None = None
    proposed: bool = False

    def passes(self, gate: Gate) -> bool:
        """Whether the gate lets it through.

        Of a region that nobody asked about it must be sure: each is one more chance to take a stranger for an item.
        """
        return self.gate_score >= (gate.sure_above if self.proposed else gate.reject_below)


@dataclass(frozen=True, eq=False)
class Observation:
    """What the device made of one frame; `crops[0]` is the whole frame.

    `stop` is set when the device answers by itself; then no crop has a code and nothing may be sent. `reason` says why
    it stopped, or what it doubts. `phash` is the frame's perceptual hash, 0 unless it was asked for. `crops` is empty when
    the frame was too poor to embed. `restricted`: the subject is sensitive, and the app wants the service asked all the same.
    """

    quality: quality.Quality
    stop: Outcome | None = None
    reason: str | None = None
    crops: tuple[Crop, ...] = ()
    phash: int = 0
    restricted: bool = False

    @property
    def sent(self) -> tuple[Crop, ...]:
        """The crops whose codes travel, in the order of the query: a match's `code_index` counts among these."""
        return tuple(crop for crop in self.crops if crop.code is not None)

    @property
    def code(self) -> bytes | None:
        """The first code that travels."""
        return self.sent[0].code if self.sent else None

    @property
    def embedding(self) -> NDArray[np.float32] | None:
        """The embedding that `code` stands for, else the whole frame's."""
        first = (*self.sent, *self.crops)[:1]
        return first[0].embedding if first else None

    @property
    def gate_score(self) -> float | None:
        """The best crop's gate score."""
        return max((crop.gate_score for crop in self.crops), default=None)

    @property
    def sensitive_score(self) -> float:
        """The most sensitive crop's score."""
        return max((crop.sensitive_score for crop in self.crops), default=0.0)


def observe(
    frame: Frame,
    device: Device,
    budget: Budget,
    *,
    crops: int = 1,
    regions: Sequence[Box | Tap] = (),
    hashed: bool = False,
    ask_restricted: bool = False,
) -> Observation:
    """Take `frame` through the device path.

    `crops` is how many parts to look at at most, the whole frame first: salient regions follow where the gate is not
    sure of the whole. `regions` are parts that the app asks about, in pixels of the upright frame. `hashed` asks for the
    perceptual hash, by which a cache knows the frame again. `ask_restricted` lets a sensitive subject through. Raises InputError when the frame is not a picture or a
    region lies outside it, ConfigInvalid for more crops than one query holds.
    """
    _check_counts(crops, len(regions), device)
    with budget.stage("decode"):
        picture = open_picture(frame)

    with budget.stage("preprocess"):
        size = device.bundle.manifest.input_size
        tensor = to_tensor(picture.image, size)

    with budget.stage("quality"):
        light = luma(tensor)
        seen = quality.measure(light)
        problem = quality.problem(seen, device.gate)
    if problem:
        return Observation(seen, Outcome.RETAKE, problem)

    phash = 0
    if hashed:
        with budget.stage("phash"):
            phash = dhash(light)

    whole = look(picture.whole, tensor, device, budget)

    with budget.stage("crops"):
        # A frame that the gate is sure of needs no second look; what the app asks about always gets one.
        boxes = choose(picture, 1 if whole.gate_score >= device.gate.sure_above else crops, regions)[1:]
        tensors = [to_tensor(picture.crop(box), size) for box in boxes]

    parts = [look(box, part, device, budget) for box, part in zip(boxes, tensors, strict=True)]
    proposed = [replace(part, proposed=True) for part in parts[len(regions) :]]
    looked = (whole, *parts[: len(regions)], *proposed)
    stop, reason = judge(looked, device)
    restricted = ask_restricted and stop is Outcome.RESTRICTED
    if stop and not restricted:
        return Observation(seen, stop, reason, looked, phash)

    with budget.stage("encode"):
        coded = tuple(_encoded(crop, device) for crop in looked)

    return Observation(seen, None, reason, coded, phash, restricted)


def look(box: Box, tensor: NDArray[np.uint8], device: Device, budget: Budget) -> Crop:
    """Return the crop that `box` shows, without a code; `tensor` `(s, s, 3) uint8` is the model's input for it."""
    with budget.stage("embed"):
        embedding = device.runtime.embed(tensor[np.newaxis])[0]

    with budget.stage("sensitive"):
        sensitive = sensitive_score(embedding, device)

    with budget.stage("gate"):
        return Crop(box, embedding, device.gate.score(embedding), sensitive)


def judge(looked: Sequence[Crop], device: Device) -> tuple[Outcome | None, str | None]:
    """Return where the crops' gate and sensitive scores end the path (None: nowhere), and the reason or doubt.

    One crop that passes is enough to ask. One sensitive crop is enough not to, unless the device proposed it and it
    would not be sent: then the whole frame, which shows it too, has its say.
    """
    gate, passing = device.gate, [crop for crop in looked if crop.passes(device.gate)]
    if not passing:
        score = max(crop.gate_score for crop in looked if not crop.proposed)
        reason = f"no visual match: unlike anything in the catalogue ({score:.2f} < {gate.reject_below:.2f})"
        return Outcome.NOT_FOUND, reason
    most = max(crop.sensitive_score for crop in looked if crop in passing or not crop.proposed)
    if device.heads and device.heads.sensitive and most >= device.heads.sensitive.unsure_above:
        reason = f"sensitive subject: it looks like a kind that must not be answered like a product ({most:.2f})"
        return Outcome.RESTRICTED, reason
    score = max(crop.gate_score for crop in passing)
    doubt = score < gate.sure_above
    return None, f"the device is unsure: little like the catalogue ({score:.2f})" if doubt else None


def sensitive_score(embedding: NDArray[np.float32], device: Device) -> float:
    """Return the sensitive head's score in [0, 1] of `embedding` `(d,)`; 0 from a bundle without that head."""
    if device.heads is None or device.heads.sensitive is None:
        return 0.0
    return device.heads.sensitive.score(embedding)


def _encoded(crop: Crop, device: Device) -> Crop:
    return replace(crop, code=device.codec.encode_one(crop.embedding)) if crop.passes(device.gate) else crop


def _check_counts(crops: int, regions: int, device: Device) -> None:
    most = min(MAX_CODES, MAX_CODES_BYTES // device.codec.code_size)
    if crops < 1 or crops + regions > most:
        raise ConfigInvalid(f"crops: expected 1 to {most}, regions included, got {crops} and {regions} regions.")
