"""The learning stages: the teacher's embeddings, and the student that imitates them."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sightline_export import figures
from sightline_export.batches import TrainingSet
from sightline_export.compatibility import old_centres, towards_old_space
from sightline_export.convert_onnx import open_session, run_rows, to_onnx
from sightline_export.data import PhotoSet
from sightline_export.distill import distill
from sightline_export.feature_networks import ONNX, open_network
from sightline_export.mixed_views import VIEW
from sightline_export.recipe import Member, Recipe, to_table
from sightline_export.student import Student, averaged, folded, new_student, ridge_head
from sightline_export.teacher import joined_features, normalise, train_head
from sightline_export.workspace import Run
from sightline_shared.errors import RecipeInvalid

Vectors = NDArray[np.float32]


def teach(run: Run, photos: PhotoSet) -> Vectors:
    """Return the teacher's embedding of every photograph, `(n, d) float32`; only training photographs train it.

    The head on the frozen networks comes first. Members are distilled from it like students and then join it: the
    teacher is the mean of the embeddings, at length 1. All live in one space, so nothing has to be aligned.
    """
    recipe = run.recipe
    features = joined_features(recipe.teacher.backbones, run, photos)
    train = photos.where(role="train")
    labels = class_numbers([photos.photos[row].item if photos.photos[row].labelled else "" for row in train])
    head = train_head(features[train], labels, recipe.student.dimension, recipe.teacher, recipe.seed).embed(features)
    head = towards_old_space(run, photos, head)
    total = recipe.teacher.weight * head
    for member in recipe.teacher.member:
        total += member.weight * member_vectors(run, photos, head, member)
    return normalise(total)


def member_vectors(run: Run, photos: PhotoSet, targets: Vectors, member: Member) -> Vectors:
    """Return the embeddings `(n, d) float32` of a member: an earlier student, or one that is trained here first."""
    if member.onnx:
        return earlier_student(run, photos, targets, member)
    recipe = dataclasses.replace(
        run.recipe,
        seed=member.seed,
        student=dataclasses.replace(
            run.recipe.student, backbone=member.backbone, size=member.size, frozen_blocks=member.frozen_blocks
        ),
        training=dataclasses.replace(run.recipe.training, images=member.images, shares=(1.0,)),
        teacher=dataclasses.replace(run.recipe.teacher, member=()),
    )
    own = dataclasses.replace(run, recipe=recipe, folder=run.folder / "members" / member.name)
    run.progress.say(f"member {member.name}: {member.backbone} at {member.size} px, seed {member.seed}")
    seen = photos if member.size == photos.tensors.shape[1] else photos.resized(member.size)
    student, _ = train_student(own, seen, targets)
    model = to_onnx(folded(student), member.size).SerializeToString(deterministic=True)
    vectors = own.embed(model, seen)
    score, _ = figures.validation_score(seen, vectors)
    run.progress.say(f"member {member.name}: validation R@1 {score:.4f}")
    return vectors


def earlier_student(run: Run, photos: PhotoSet, targets: Vectors, member: Member) -> Vectors:
    """Return an earlier student's embeddings `(n, d) float32`; raises RecipeInvalid when it lives in another space."""
    path = run.recipe.path(member.onnx)
    network = open_network(f"{ONNX}{path}", None)
    seen = photos if network.size == photos.tensors.shape[1] else photos.resized(network.size)
    vectors = normalise(run.embed(path.read_bytes(), seen))
    train = photos.where(role="train")
    if vectors.shape != targets.shape or (cosine := float((vectors[train] * targets[train]).sum(axis=1).mean())) < 0.5:
        found = f"{vectors.shape[1]} numbers" if vectors.shape != targets.shape else f"a mean cosine of {cosine:.2f}"
        raise RecipeInvalid(
            f"teacher member '{member.name}': expected embeddings of {targets.shape[1]} numbers in the teacher's space, "
            f"got {found} on the training photographs.",
            hint="Use a student of a recipe with the same sources, backbones and seed, or let the member be trained here.",
        )
    run.progress.say(f"member {member.name}: {path.name}, mean cosine {cosine:.3f} to the teacher's head")
    return vectors


def train_student(run: Run, photos: PhotoSet, targets: Vectors) -> tuple[Student, dict[str, object]]:
    """Return the student, ridge-initialised and distilled, its weights averaged as the validation set likes best."""
    recipe = run.recipe
    student = new_student(recipe.student, run.weights)
    train = photos.where(role="train")
    rows = np.concatenate([train, photos.where(role=VIEW)])
    features = pooled_features(student, photos.tensors[train])
    cosine = ridge_head(student, features, targets[train])
    learning: dict[str, object] = {"ridge_cosine": round(cosine, 4)}
    run.progress.say(f"ridge head: mean cosine {cosine:.3f} to the teacher on its training photographs")
    if recipe.training.images == 0:
        return student, learning
    start = {key: value.clone() for key, value in student.state_dict().items()}
    data = training_set(photos, targets, rows)
    learning["loss"] = distill(
        student,
        data,
        recipe,
        run.folder / "training",
        run.progress,
        fingerprint=fingerprint(recipe, photos, targets),
        device=run.device,
        old_centres=old_centres(run, photos, rows, data),
    )
    trained = {key: value.clone() for key, value in student.state_dict().items()}
    if recipe.training.shares == (1.0,):
        return student, learning
    student.load_state_dict(averaged(start, trained, best_share(run, photos, student, start, trained, learning)))
    return student, learning


def best_share(
    run: Run,
    photos: PhotoSet,
    student: Student,
    start: dict[str, Tensor],
    trained: dict[str, Tensor],
    learning: dict[str, object],
) -> float:
    """Return the student's share in the weight average that scores best on validation photographs."""
    size = run.recipe.student.size
    scores: dict[float, float] = {}
    details: dict[str, object] = {}
    for share in dict.fromkeys((0.0, *run.recipe.training.shares)):
        student.load_state_dict(averaged(start, trained, share))
        vectors = run.embed(to_onnx(folded(student), size).SerializeToString(deterministic=True), photos)
        scores[share], parts = figures.validation_score(photos, vectors)
        details[str(share)] = {"score": round(scores[share], 4)} | {key: round(part, 4) for key, part in parts.items()}
        run.progress.say(
            f"share {share:.2f}: validation R@1 {scores[share]:.4f} "
            + ", ".join(f"{key} {part:.3f}" for key, part in parts.items())
        )
    best = max(run.recipe.training.shares, key=lambda share: scores[share])
    learning["shares"], learning["share"] = details, best
    return best


def pooled_features(student: Student, pixels: NDArray[np.uint8]) -> Vectors:
    """Return the backbone's pooled features `(n, 1280) float32`."""
    return run_rows(open_session(to_onnx(folded(student).backbone, int(pixels.shape[1]), "features")), pixels)


def training_set(photos: PhotoSet, targets: Vectors, rows: NDArray[np.int64]) -> TrainingSet:
    """Return what the distillation learns from: the photographs and mixed views in `rows` `(m,)`."""
    chosen = [photos.photos[row] for row in rows]
    return TrainingSet(
        images=[photos.images[row] for row in rows],
        targets=targets[rows],
        items=class_numbers([photo.item if photo.labelled else "" for photo in chosen]),
        categories=class_numbers([photo.category if photo.labelled else "" for photo in chosen]),
        groups=class_numbers([photo.source for photo in chosen]),
        outside=np.array([photo.kind == "outside" for photo in chosen]),
        studio=np.array([photo.studio for photo in chosen]),
        views=np.array([photo.role == VIEW for photo in chosen]),
    )


def class_numbers(names: list[str]) -> NDArray[np.int64]:
    """Return each name's number in sorted order `(n,)`; -1 for the empty name."""
    table = {name: number for number, name in enumerate(sorted(set(names) - {""}))}
    return np.array([table.get(name, -1) for name in names], dtype=np.int64)


def fingerprint(recipe: Recipe, photos: PhotoSet, targets: Vectors) -> str:
    """Return what a checkpoint belongs to: everything in recipe, photographs and teacher that the training depends on."""
    table = to_table(recipe)
    parts: dict[str, object] = {
        key: table[key] for key in ("seed", "student", "training", "batches", "augment", "loss", "compatibility")
    }
    # Rounded: the last bits of the teacher's numbers may differ between machines.
    parts["targets"] = hashlib.sha256(np.round(targets, 3).astype(np.float16).tobytes()).hexdigest()
    rows = [
        (digest, photo.item)
        for digest, photo in zip(photos.digests, photos.photos, strict=True)
        if photo.role in ("train", VIEW)
    ]
    return hashlib.sha256(json.dumps([parts, rows], sort_keys=True).encode()).hexdigest()
