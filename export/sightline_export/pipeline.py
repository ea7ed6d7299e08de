"""From photographs and a recipe to one verified bundle: the stages, in order."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline_export import figures, parity
from sightline_export.card.page import write_card
from sightline_export.card.pictures import write_pictures
from sightline_export.codec_table import codec_table, flat, write_table
from sightline_export.convert_onnx import to_float16_weights, to_onnx
from sightline_export.data import PhotoSet, list_photos, load_photos
from sightline_export.decision_models import fit_decision
from sightline_export.distill import check_device
from sightline_export.evaluate import Figure
from sightline_export.evaluation.gates import bars_of, check, forgiving, refuse, unmeasured
from sightline_export.evaluation.reliability import semantic_detail
from sightline_export.evaluation.stage import evaluate
from sightline_export.golden_pictures import golden_sources, make_golden
from sightline_export.heads import fit_heads
from sightline_export.int8 import make_int8
from sightline_export.learning import teach, train_student
from sightline_export.mixed_views import with_mixed_views
from sightline_export.parity_stage import (
    figures_of,
    gate_decision,
    measure_artefacts,
    memory_of,
    mobile_files,
    route_decision,
    trial_of,
)
from sightline_export.progress import Progress
from sightline_export.recipe import Recipe
from sightline_export.report import write_report
from sightline_export.student import Student, folded
from sightline_export.thresholds import set_thresholds
from sightline_export.train_codec import make_codec
from sightline_export.workspace import Run, make_room
from sightline_export.write_bundle import write
from sightline_shared.bundle import Bundle
from sightline_shared.codec import Codec
from sightline_shared.heads import Heads

Vectors = NDArray[np.float32]


def export(
    recipe: Recipe,
    folder: Path,
    *,
    features: Path | None = None,
    progress: Progress | None = None,
    device: str = "cpu",
    force: bool = False,
) -> Bundle:
    """Make the bundle `folder`/bundle and everything beside it; returns the bundle, opened and verified.

    `features` is where backbone features are cached (default `folder`/features), `device` where the student is trained
    ("cpu" or "cuda"). Raises RecipeInvalid, ManifestInvalid,
    ImageUnreadable, TrainingDataTooSmall, ExtraMissing, or GoldenMismatch and BarMissed when figures miss the recipe's
    bars; with `force` the misses are recorded in the manifest instead.
    """
    forced: list[str] = []
    run = Run(recipe, folder, progress or Progress(), features or folder / "features", check_device(device))
    make_room(folder)

    with run.progress.stage("photographs"):
        photos = read_photos(run)

    with run.progress.stage("teacher"):
        seen = with_mixed_views(run, photos)
        taught = teach(run, seen)
        targets = taught[: len(photos)]

    with run.progress.stage("student"):
        student, learning = train_student(run, seen, taught)

    with run.progress.stage("conversion"):
        float_model, int8_model = convert(run, photos, student)

    with run.progress.stage("embeddings"):
        vectors = run.embed(int8_model, photos)
        floats = run.embed(float_model, photos)

    with run.progress.stage("codec"):
        codec, coded = fit_codec(run, photos, vectors, int8_model)

    with run.progress.stage("heads"):
        heads, found = fit_heads(run, photos, vectors, int8_model)

    with run.progress.stage("thresholds"):
        gate, decision, judged = set_thresholds(recipe, photos, vectors, codec)
        calibration, decided = fit_decision(
            photos,
            vectors,
            figures.decoded_vectors(vectors, codec),
            gate,
            heads,
            recipe.seed,
            f"{recipe.name} {recipe.version}",
        )
        found |= judged | decided

    with run.progress.stage("mobile"):
        trial = trial_of(run, photos, floats, {"gate": gate_decision(gate), "route": route_decision(heads)})
        made = mobile_files(run, photos, folded(student), int8_model, trial)

    with run.progress.stage("parity"):
        compared = measure_artefacts(run, folded(student), made, trial)
        found |= figures_of(compared) | memory_of(run, made, trial)
        with forgiving(force, forced):
            parity.check_artefacts(compared, recipe.bars)

    with run.progress.stage("figures"):
        found |= check_parity(run, photos, float_model, int8_model, vectors, floats, forgiving(force, forced))
        found |= figures.code_figures(photos, vectors, codec)
        columns = {
            "int8": figures.retrieval_figures(photos, vectors, vectors),
            "float": figures.retrieval_figures(photos, floats, floats),
            "code": figures.retrieval_figures(photos, figures.decoded_vectors(vectors, codec), vectors),
            "teacher gallery": figures.retrieval_figures(photos, vectors, targets),
            "teacher": figures.retrieval_figures(photos, targets, targets),
        }
        found |= columns["int8"]

    with run.progress.stage("evaluation"):
        evaluated = evaluate(run, photos, vectors, int8_model)
        found |= evaluated.figures
        with forgiving(force, forced):
            refuse(check(found, bars_of(recipe)))

    with run.progress.stage("bundle"):
        golden = make_golden(
            golden_sources(photos, recipe.golden_source, recipe.seed), int8_model, codec, recipe.student.size
        )
        bundle = write(
            run.folder / "bundle",
            recipe,
            photos,
            int8_model,
            codec,
            gate,
            heads,
            golden,
            decision,
            found,
            forced,
            made.tflite,
            calibration,
        )

    details = {**evaluated.details, "forced": forced, "unmeasured": unmeasured(found, bars_of(recipe))}
    details["semantic"] = semantic_details(photos, vectors, heads)
    write_report(run.folder, recipe, bundle, found | coded, columns, learning, run.progress.timings_s, details)
    write_pictures(run.folder, recipe, photos, vectors, student)
    write_card(run.folder)
    return bundle


def semantic_details(photos: PhotoSet, vectors: Vectors, heads: Heads) -> dict[str, object]:
    """Return confusion and calibration of the semantic head on the catalogue's test (else validation) photographs."""
    rows = photos.where(kind="catalogue", role="test", studio=False)
    if not len(rows):
        rows = photos.where(kind="catalogue", role="val", studio=False)
    shares = heads.semantic.probabilities(vectors[rows])
    return semantic_detail(shares, [photos.photos[row].coarse for row in rows], heads.semantic.labels)


def read_photos(run: Run) -> PhotoSet:
    """List and decode every photograph."""
    photos = load_photos(list_photos(run.recipe), run.recipe.student.size, run.progress)
    for source in dict.fromkeys(photo.source for photo in photos.photos):
        counts = {role: len(photos.where(source=source, role=role)) for role in ("train", "val", "test", "studio")}
        run.progress.say(f"{source}: {counts}")
    return photos


def convert(run: Run, photos: PhotoSet, student: Student) -> tuple[bytes, bytes]:
    """Write the float32, float16 and int8 models into the run's folder; returns float32 and int8 bytes."""
    plain, recipe = folded(student), run.recipe
    model = to_onnx(plain, recipe.student.size)
    files = {
        name: proto.SerializeToString(deterministic=True)
        for name, proto in {"fp32": model, "float16": to_float16_weights(model)}.items()
    }
    for name, data in files.items():
        (run.folder / f"student.{name}.onnx").write_bytes(data)
    seen = photos.tensors[np.concatenate([photos.where(role="train"), photos.where(role="val")])]
    made_of = (
        files["fp32"],
        repr((recipe.quantization, recipe.qat, recipe.augment, recipe.calibration_images, recipe.seed)).encode(),
        seen.tobytes(),
    )
    files["int8"] = run.keep(
        "student.int8.onnx",
        made_of,
        lambda: make_int8(run, photos, plain, model).SerializeToString(deterministic=True),
    )
    for name, data in files.items():
        run.progress.say(f"student.{name}.onnx: {len(data):,} bytes")
    return files["fp32"], files["int8"]


def fit_codec(run: Run, photos: PhotoSet, vectors: Vectors, model: bytes) -> tuple[Codec, dict[str, Figure]]:
    """Train the codec on the training photographs and on augmented views of them, embedded by the shipped model.

    Returns it with the table of bytes against recall, for the report.
    """
    recipe = run.recipe
    train = photos.where(role="train")
    views = run.views("codec", model, photos, train, recipe.codec.views)
    everything = np.concatenate([vectors[train], views.reshape(-1, vectors.shape[1])])
    run.progress.say(f"codec: {len(everything):,} vectors")
    gallery = vectors[np.union1d(train, photos.where(kind="catalogue", studio=True))]
    codec = make_codec(everything, gallery, recipe.codec, recipe.seed)
    if not recipe.codec.table:
        return codec, {}
    table = codec_table(photos, vectors, everything, gallery, codec, recipe.codec, recipe.seed)
    write_table(run.folder, table)
    return codec, flat(table)


def check_parity(
    run: Run,
    photos: PhotoSet,
    float_model: bytes,
    int8_model: bytes,
    vectors: Vectors,
    floats: Vectors,
    judging: AbstractContextManager[None],
) -> dict[str, Figure]:
    """Compare int8 with float on held-out photographs; raises GoldenMismatch past the bars, where `judging` lets it."""
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
    with judging:
        parity.check_bars(found, float(np.mean(losses)) if losses else None, run.recipe.bars)
    return found.figures(f"{len(rows)} held-out photographs")
