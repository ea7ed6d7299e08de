"""The recipe: everything that decides a bundle, as frozen dataclasses.

`recipe_file` reads them from TOML, `recipe_rules` refuses what cannot work. `${NAME}` in a path is replaced by what
`--define NAME=...` says, or by Sightline's environment variable of that name; relative paths start at the recipe's folder.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sightline_shared import environment
from sightline_shared.errors import RecipeInvalid

ROUNDINGS = ("compensated", "nearest")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True)
class Source:
    """One set of photographs: a manifest CSV, or a folder with one sub-folder per item.

    `kind` is "catalogue" (items to be found), "outside" (things that are not in the catalogue: distilled without labels
    against forgetting, and used to measure the gate) or "sensitive" (subjects that must not be answered like a product:
    they train the sensitive head; `coarse` is their kind, `instance` the person, whose photographs stay together). The split lists name the manifest's
    `split` values for each role. A folder has no splits: `val_share` and `test_share` of its photographs are
    held out by hash. `holdout_classes` is the share of classes that the training never sees; `holdout_every = 4` instead
    holds out every fourth class in the order of their names.
    """

    name: str
    manifest: str = ""
    folder: str = ""
    kind: str = "catalogue"
    domain: str = ""
    train: tuple[str, ...] = ("train",)
    val: tuple[str, ...] = ("val",)
    test: tuple[str, ...] = ("test",)
    studio: tuple[str, ...] = ()
    val_share: float = 0.1
    test_share: float = 0.0
    holdout_classes: float = 0.0
    holdout_every: int = 0
    labels: bool = True
    optional: bool = False


@dataclass(frozen=True)
class Member:
    """A network that joins the teacher: the embeddings are averaged.

    `onnx` names the file of an earlier student of the same space (its own teacher's head had this recipe's sources and
    seed). Without it the member is trained here first, as the student is afterwards.
    """

    name: str
    onnx: str = ""
    backbone: str = "efficientnet_lite0"
    size: int = 192
    frozen_blocks: int = 5
    images: int = 36000
    seed: int = 1
    weight: float = 1.0


@dataclass(frozen=True)
class Teacher:
    """The frozen backbones whose features are joined, the head that is trained on them, and the members that join.

    A backbone is a name of ours, `timm:NAME`, or `onnx:PATH` (uint8 pixels in, features out). `mixed_views` pictures
    mixed of the training photographs are embedded as well, for the student to learn from (`batches.mixed_views`).
    """

    backbones: tuple[str, ...] = ("efficientnet_lite0", "efficientnet_lite2", "mobilenet_edgetpu")
    epochs: int = 100
    margin: float = 0.2
    scale: float = 24.0
    weight: float = 1.0
    mixed_views: int = 0
    member: tuple[Member, ...] = ()


@dataclass(frozen=True)
class Student:
    """The network that ships."""

    backbone: str = "efficientnet_lite0"
    size: int = 192
    dimension: int = 256
    frozen_blocks: int = 5


@dataclass(frozen=True)
class Training:
    """How long and how fast the student learns; `images = 0` keeps the ridge-initialised head.

    `shares` are the student's shares tried when the trained weights are averaged with the initial ones (1.0 is
    no averaging); the held-out photographs choose.
    """

    images: int = 36000
    batch: int = 64
    learning_rate: float = 3e-4
    head_learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    outside_share: float = 0.25
    shares: tuple[float, ...] = (1.0, 0.85, 0.7)
    workers: int = 1
    checkpoint_steps: int = 50


@dataclass(frozen=True)
class Batches:
    """What a batch of catalogue photographs is made of.

    Photographs of a class beyond `class_cap` (0: no cap) count no more; no source gets more than `domain_cap`. `pairs`
    photographs bring another one of their item (studio for phone, phone for studio where there is one), and
    `hard_negatives` one of another item that the teacher finds alike: both as shares of those that are drawn alone.
    `mixed_views` is the share of the whole batch that are the teacher's mixed views.
    """

    class_cap: int = 0
    domain_cap: float = 1.0
    pairs: float = 0.0
    hard_negatives: float = 0.0
    mixed_views: float = 0.0


@dataclass(frozen=True)
class Strength:
    """Probabilities and ranges of the camera augmentation; the defaults suit photographs of products.

    `background` is the chance that a photograph's surroundings are replaced; `adversarial` is the size of a perturbation
    against the student (0: none), in standard deviations of what the frozen blocks pass on.
    """

    crop_area: tuple[float, ...] = (0.4, 1.0)
    flip: float = 0.5
    warp: float = 0.5
    rotation_degrees: float = 15.0
    perspective: float = 0.12
    exposure: float = 0.35
    white_balance: float = 0.12
    saturation: float = 0.35
    contrast: float = 0.3
    colour: float = 0.8
    blur: float = 0.25
    noise: float = 0.25
    jpeg: float = 0.3
    occlusion: float = 0.15
    background: float = 0.0
    adversarial: float = 0.0


@dataclass(frozen=True)
class Loss:
    """The weights of the losses, the temperatures, the ArcFace margin and scale, and the anchors' subspaces."""

    teacher: float = 2.0
    gallery: float = 0.5
    instance: float = 0.5
    semantic: float = 0.25
    relational: float = 0.0
    structure: float = 0.0
    temperature: float = 0.07
    margin: float = 0.2
    scale: float = 24.0
    structure_temperature: float = 0.1
    structure_subspaces: int = 8


@dataclass(frozen=True)
class Compatibility:
    """An earlier bundle whose queries must still find things in the new gallery, and how much that weighs."""

    bundle: str = ""
    weight: float = 0.25


@dataclass(frozen=True)
class Codec:
    """The code on the wire: bytes per embedding, and augmented views per photograph to train it on.

    `kind` is "pq" (PCA-OPQ, `subspaces` bytes) or "sq8" (one byte a dimension). `rotations` is how often rotation and
    codebooks are refined together; `weighting` 0 lets every error count alike, 1 as the catalogue's variance along its
    axis; `table` also trains the other sizes and methods, for the report.
    """

    kind: str = "pq"
    subspaces: int = 64
    views: int = 4
    iterations: int = 12
    rotations: int = 0
    weighting: float = 0.45
    table: bool = True


@dataclass(frozen=True)
class Gate:
    """Prototypes of the gate, the share of good photographs that it may turn away, and the scores it may be.

    Among `scores` the validation photographs choose; one that turns away more than `studio_reject` of the studio
    pictures it has not seen is out. `near` names outside classes that look like things a shop sells, for the report.
    """

    prototypes: int = 256
    false_reject: float = 0.05
    scores: tuple[str, ...] = ("cosine", "knn", "max_logit", "energy", "scale", "mahalanobis")
    studio_reject: float = 0.25
    near: tuple[str, ...] = ()


@dataclass(frozen=True)
class Heads:
    """The linear heads on the embedding: augmented views they learn from, and the sensitive head's target.

    `decay` is the semantic head's. A sensitive photograph is learned from `sensitive_views` augmented views, and from
    `sensitive_recolourings` in other colours. Among `sensitive_shrinkages` (how much of the covariance gives way to the
    same spread in every direction) the validation photographs choose. `sensitive_miss` is the share of sensitive
    photographs that may go unflagged (its upper bound is what counts, where the photographs are enough to show it),
    `sensitive_alarm` the share of the others that may count as unsure.
    """

    views: int = 2
    decay: float = 1e-4
    sensitive_views: int = 8
    sensitive_recolourings: int = 4
    sensitive_shrinkages: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3)
    sensitive_miss: float = 0.05
    sensitive_alarm: float = 0.01


@dataclass(frozen=True)
class Quality:
    """Share of good photographs that the sharpness and the brightness check must keep."""

    keep: float = 0.99


@dataclass(frozen=True)
class Bars:
    """What the int8 model must reach, or the export fails."""

    int8_cosine_mean: float = 0.98
    int8_cosine_min: float = 0.9
    int8_recall_loss: float = 0.02
    artefact_cosine_mean: float = 0.99
    artefact_cosine_p1: float = 0.97
    artefact_overlap: float = 0.95
    smallest_class: int = 2
    smallest_training_set: int = 32


@dataclass(frozen=True)
class Quantization:
    """How the int8 student is made: `rounding` is "compensated" (by what the layers see) or "nearest".

    `layers` photographs are spent on the layer-by-layer error report (0: none); `ort` also writes the .ort file.
    """

    rounding: str = "compensated"
    layers: int = 8
    ort: bool = True


@dataclass(frozen=True)
class Qat:
    """Quantization-aware fine-tuning: `steps` (0: never), "needed" (a cosine bar is missed after rounding) or "always"."""

    steps: int = 0
    when: str = "needed"
    batch: int = 16
    learning_rate: float = 1e-5
    cosine_mean: float = 0.995
    cosine_p1: float = 0.988
    cosine_min: float = 0.97


@dataclass(frozen=True)
class Mobile:
    """What is made for phones beside ONNX: Core ML variants (float16, int8, palette) and TFLite kinds; none by default.

    `tflite` names kinds of int8 (static, dynamic, weights); the first that passes the bars ships. `tflite_python` is the
    interpreter that has litert-torch, which cannot be installed beside everything else; empty: this one. `executorch` writes
    student.pte, in an environment that has executorch. A layer takes
    the smallest palette of `palette_bits` whose weights stay within `palette_error` (relative) and `palette_worst` (the
    worst weight, relative to the largest).
    """

    coreml: tuple[str, ...] = ()
    palette_bits: tuple[int, ...] = (6,)
    palette_error: float = 0.03
    palette_worst: float = 0.03
    tflite: tuple[str, ...] = ()
    tflite_python: str = ""
    executorch: bool = False


@dataclass(frozen=True)
class Evaluation:
    """How many queries the evaluation corrupts and changes (0: none of it is measured), and its bars (0: no bar).

    `robustness_kept` is the mean share of R@1 left under the corruptions, `effective_rank` counts directions of the
    embedding, `neighbour_entropy` is that of the top-10 lists, `stability_cosine` that of augmented views, and
    `object_wins` the share of studio pictures that move less with the background than with the object.
    """

    queries: int = 600
    robustness_kept: float = 0.85
    effective_rank: float = 16.0
    neighbour_entropy: float = 0.8
    stability_cosine: float = 0.7
    object_wins: float = 0.5


@dataclass(frozen=True)
class Regression:
    """An earlier bundle, and how much R@1 on any question the new one may lose against it."""

    bundle: str = ""
    max_loss: float = 0.02


@dataclass(frozen=True)
class Recipe:
    """One bundle's recipe; relative paths start at `base`, `defined` holds the variables given on the command line."""

    name: str
    source: tuple[Source, ...]
    version: str = "1"
    seed: int = 1
    weights: str = ""
    calibration_images: int = 200
    golden_source: str = ""
    notice: str = ""
    teacher: Teacher = field(default_factory=Teacher)
    student: Student = field(default_factory=Student)
    training: Training = field(default_factory=Training)
    batches: Batches = field(default_factory=Batches)
    augment: Strength = field(default_factory=Strength)
    compatibility: Compatibility = field(default_factory=Compatibility)
    loss: Loss = field(default_factory=Loss)
    codec: Codec = field(default_factory=Codec)
    gate: Gate = field(default_factory=Gate)
    heads: Heads = field(default_factory=Heads)
    quality: Quality = field(default_factory=Quality)
    bars: Bars = field(default_factory=Bars)
    quantization: Quantization = field(default_factory=Quantization)
    qat: Qat = field(default_factory=Qat)
    mobile: Mobile = field(default_factory=Mobile)
    evaluation: Evaluation = field(default_factory=Evaluation)
    regression: Regression = field(default_factory=Regression)
    base: Path = field(default=Path(), metadata={"hidden": True})
    defined: Mapping[str, str] = field(default_factory=dict, metadata={"hidden": True})

    def path(self, text: str) -> Path:
        """Return `text` as a path: variables replaced, relative to the recipe's folder; raises RecipeInvalid."""
        return self.base / expand(text, self.defined)


def to_table(recipe: Recipe) -> dict[str, object]:
    """Return the recipe as plain data, for the report; this machine's paths are left out."""
    table = dataclasses.asdict(recipe)
    return {key: value for key, value in table.items() if key not in ("base", "defined")}


def expand(text: str, defined: Mapping[str, str]) -> str:
    """Replace every `${NAME}`; raises RecipeInvalid for a name that neither `defined` nor the environment has."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        found = defined.get(name) or (environment.read(name) if name in environment.VARIABLES else None)
        if not found:
            raise RecipeInvalid(
                f"'{text}': expected a value for {name}, got none.", hint=f"Add: --define {name}=/path/to/it"
            )
        return found

    return _VARIABLE.sub(value, text)
