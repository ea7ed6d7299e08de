"""From photographs and a recipe to one verified bundle: the stages, in order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from sightline_export import figures, parity
from sightline_export.augment import augment
from sightline_export.convert_onnx import open_session, run_rows, to_float16_weights, to_onnx
from sightline_export.data import PhotoSet, list_photos, load_photos
from sightline_export.distill import check_device
from sightline_export.evaluate import Figure
from sightline_export.golden_pictures import golden_sources, make_golden
from sightline_export.learning import teach, train_student
from sightline_export.progress import Progress
from sightline_export.quantize import quantize
from sightline_export.recipe import Recipe, Strength
from sightline_export.report import write_report
from sightline_export.student import Student, folded
from sightline_export.thresholds import set_thresholds
from sightline_export.train_codec import train_codec
from sightline_export.workspace import Run, make_room
from sightline_export.write_bundle import write
from sightline_shared.bundle import Bundle
from sightline_shared.codec import Codec

Vectors = NDArray[np.float32]


def export(
    recipe: Recipe, folder: Path, *, features: Path | None = None, progress: Progress | None = None, device: str = "cpu"
) -> Bundle:
    """Make the bundle `folder`/bundle and everything beside it; returns the bundle, opened and verified.

    `features` is where backbone features are cached (default `folder`/features), `device` where the student is trained
    ("cpu" or "cuda"). Raises RecipeInvalid, ManifestInvalid,
    ImageUnreadable, TrainingDataTooSmall, ExtraMissing, or GoldenMismatch when int8 misses the recipe's bars.
    """
    run = Run(recipe, folder, progress or Progress(), features or folder / "features", check_device(device))
    make_room(folder)

    with run.progress.stage("photographs"):
        photos = read_photos(run)

    with run.progress.stage("teacher"):
        targets = teach(run, photos)

    with run.progress.stage("student"):
        student, learning = train_student(run, photos, targets)

    with run.progress.stage("conversion"):
        float_model, int8_model = convert(run, photos, student)

    with run.progress.stage("embeddings"):
        vectors = run.embed(int8_model, photos)
        floats = run.embed(float_model, photos)

    with run.progress.stage("codec"):
        codec = fit_codec(run, photos, vectors, int8_model)

    with run.progress.stage("thresholds"):
        gate, decision, found = set_thresholds(recipe, photos, vectors, codec)

    with run.progress.stage("figures"):
        found |= check_parity(run, photos, float_model, int8_model, vectors, floats)
        found |= figures.code_figures(photos, vectors, codec)
        columns = {
            "int8": figures.retrieval_figures(photos, vectors, vectors),
            "float": figures.retrieval_figures(photos, floats, floats),
            "code": figures.retrieval_figures(photos, figures.decoded_vectors(vectors, codec), vectors),
            "teacher gallery": figures.retrieval_figures(photos, vectors, targets),
            "teacher": figures.retrieval_figures(photos, targets, targets),
        }
        found |= columns["int8"]

    with run.progress.stage("bundle"):
        golden = make_golden(
            golden_sources(photos, recipe.golden_source, recipe.seed), int8_model, codec, recipe.student.size
        )
        bundle = write(run.folder / "bundle", recipe, photos, int8_model, codec, gate, golden, decision, found)

    write_report(run.folder, recipe, bundle, found, columns, learning, run.progress.timings_s)
    return bundle


def read_photos(run: Run) -> PhotoSet:
    """List and decode every photograph."""
    photos = load_photos(list_photos(run.recipe), run.recipe.student.size, run.progress)
    for source in dict.fromkeys(photo.source for photo in photos.photos):
        counts = {role: len(photos.where(source=source, role=role)) for role in ("train", "val", "test", "studio")}
        run.progress.say(f"{source}: {counts}")
    return photos


def convert(run: Run, photos: PhotoSet, student: Student) -> tuple[bytes, bytes]:
    """Write the float32, float16 and int8 models into the run's folder; returns float32 and int8 bytes."""
    recipe = run.recipe
    model = to_onnx(folded(student), recipe.student.size)
    rows = np.random.default_rng(recipe.seed).permutation(photos.where(role="train"))[: recipe.calibration_images]
    models: dict[str, onnx.ModelProto] = {
        "fp32": model,
        "float16": to_float16_weights(model),
        "int8": quantize(model, photos.tensors[rows]),
    }
    files = {name: proto.SerializeToString(deterministic=True) for name, proto in models.items()}
    for name, data in files.items():
        (run.folder / f"student.{name}.onnx").write_bytes(data)
        run.progress.say(f"student.{name}.onnx: {len(data):,} bytes")
    return files["fp32"], files["int8"]


def fit_codec(run: Run, photos: PhotoSet, vectors: Vectors, model: bytes) -> Codec:
    """Train the codec on the training photographs and on augmented views of them, embedded by the shipped model."""
    recipe = run.recipe
    train = photos.where(role="train")
    session, rng = open_session(model), np.random.default_rng(recipe.seed)
    rows = np.repeat(train, recipe.codec.views)
    views = [
        run_rows(session, augment(photos.images[row], recipe.student.size, rng, Strength())[None])
        for row in run.progress.track(rows.tolist(), "views for the codec")
    ]
    everything = np.concatenate([vectors[train], *views])
    run.progress.say(f"codec: {len(everything):,} vectors")
    return train_codec(everything, recipe.codec.subspaces, recipe.codec.iterations, recipe.seed)


def check_parity(
    run: Run, photos: PhotoSet, float_model: bytes, int8_model: bytes, vectors: Vectors, floats: Vectors
) -> dict[str, Figure]:
    """Compare int8 with float on held-out photographs; raises GoldenMismatch past the recipe's bars."""
    rows = np.concatenate([photos.where(role="val"), photos.where(role="test")])
    rows = np.random.default_rng(run.recipe.seed).permutation(rows)[:300]
    found = parity.measure_parity(float_model, int8_model, photos.tensors[rows])
    losses = [
        floats_figure.value - int8_figure.value
        for floats_figure, int8_figure in zip(
            figures.retrieval_figures(photos, floats, floats).values(),
            figures.retrieval_figures(photos, vectors, vectors).values(),
            strict=True,
        )
    ]
    parity.check_bars(found, float(np.mean(losses)) if losses else None, run.recipe.bars)
    return found.figures(f"{len(rows)} held-out photographs")
