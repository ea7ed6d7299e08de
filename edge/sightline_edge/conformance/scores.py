"""Vectors of the gate's score, in each format and kind, and of the heads."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from sightline_edge.conformance.document import Document, Vector, floats, noise, units
from sightline_edge.gate import Gate
from sightline_edge.ood import OodScore
from sightline_shared.bundle import Bundle
from sightline_shared.heads import Heads, Semantic, Sensitive

DIM, ROWS, EMBEDDINGS = 24, 7, 6
# kind, parameter, gain, shift; a plain cosine is written in format 1, all others in format 2.
KINDS = (
    ("cosine", 1.0, 1.0, 0.0),
    ("cosine", 1.0, 0.5, 0.25),
    ("max_logit", 1.0, 0.7, 0.1),
    ("knn", 3.0, 1.0, 0.0),
    ("knn", 50.0, 1.0, 0.0),
    ("energy", 0.5, 0.4, 0.2),
    ("scale", 0.3, 0.1, -0.2),
    ("mahalanobis", 1.0, 0.2, 1.0),
)


def gates(bundle: Bundle) -> Document:
    """Return gate files and embeddings with their scores and verdicts."""
    vectors: list[Vector] = []
    binaries: dict[str, bytes] = {}
    for kind, parameter, gain, shift in KINDS:
        gate = _with_thresholds(gate_of(kind, parameter, gain, shift))
        label = f"{kind} {parameter:g}, {gain:g} and {shift:g}"
        file = f"gate-{kind}-{len(binaries)}.msgpack"
        binaries[file] = gate.to_bytes()
        vectors += [_gate_vector(f"{label}, {i}", file, gate, x) for i, x in enumerate(_embeddings())]
    own = bundle.role("gate")
    binaries["gate-golden.msgpack"] = own
    vectors += [
        _gate_vector(f"golden-{i}", "gate-golden.msgpack", Gate.from_bytes(own), x)
        for i, x in enumerate(bundle.golden.embeddings)
    ]
    return Document("gates", "gate file and embedding -> score and verdict", vectors, 1e-4, binaries)


def heads(bundle: Bundle) -> Document:
    """Return heads files and embeddings with their probabilities and sensitive scores."""
    small = _small_heads()
    files = {"heads-both.msgpack": small, "heads-no-sensitive.msgpack": dataclasses.replace(small, sensitive=None)}
    vectors = [
        _heads_vector(f"{file}, {i}", file, each, x)
        for file, each in files.items()
        for i, x in enumerate(_embeddings())
    ]
    binaries = {file: each.to_bytes() for file, each in files.items()}
    if bundle.heads is not None:
        binaries["heads-golden.msgpack"] = bundle.role("heads")
        vectors += [
            _heads_vector(f"golden-{i}", "heads-golden.msgpack", bundle.heads, x)
            for i, x in enumerate(bundle.golden.embeddings)
        ]
    return Document("heads", "heads file and embedding -> probabilities and sensitive score", vectors, 1e-4, binaries)


def gate_of(kind: str, parameter: float = 1.0, gain: float = 1.0, shift: float = 0.0, **thresholds: float) -> Gate:
    """Return a small gate of `kind`, its numbers as its file will hold them; thresholds not given are 0."""
    ood = OodScore(
        kind=kind,
        rows=units(f"gate rows {kind}", ROWS, DIM).astype(np.float16).astype(np.float32),
        offsets=np.asarray(noise(f"gate offsets {kind}", ROWS) / 1024, np.float32),
        parameter=parameter,
        whitening=_whitening() if kind == "mahalanobis" else None,
        gain=gain,
        shift=shift,
    )
    none = dict.fromkeys(("reject_below", "sure_above", "min_sharpness", "min_brightness", "max_brightness"), 0.0)
    return Gate.from_bytes(Gate(ood, **{**none, **thresholds}).to_bytes())


def _whitening() -> NDArray[np.float32]:
    return np.asarray(np.eye(DIM) + units("whitening", DIM, DIM) / 2, np.float16).astype(np.float32)


def _with_thresholds(gate: Gate) -> Gate:
    """Return `gate` with cut-offs between its scores of the embeddings, so that every verdict occurs."""
    scores = sorted(float(score) for score in gate.scores(_embeddings()))
    reject_below, sure_above = (scores[1] + scores[2]) / 2, (scores[3] + scores[4]) / 2
    return dataclasses.replace(gate, reject_below=reject_below, sure_above=sure_above)


def _embeddings() -> NDArray[np.float32]:
    return units("embeddings of gates and heads", EMBEDDINGS, DIM)


def _gate_vector(name: str, file: str, gate: Gate, embedding: NDArray[np.float32]) -> Vector:
    score = gate.score(embedding)
    verdict = "not_found" if score < gate.reject_below else "unsure" if score < gate.sure_above else "sure"
    return {"name": name, "file": file, "embedding_base64": floats(embedding), "score": score, "verdict": verdict}


def _small_heads() -> Heads:
    labels = ("bread", "milk", "Käse", "others")
    semantic = Semantic(
        labels, 4 * units("semantic weight", len(labels), DIM), np.array([0.5, 0, -1, 0.25], np.float32)
    )
    sensitive = Sensitive(("skin", "pills"), 6 * units("sensitive weight", 1, DIM)[0], -0.5, 0.4, 0.8)
    return Heads(semantic, sensitive)


def _heads_vector(name: str, file: str, read: Heads, embedding: NDArray[np.float32]) -> Vector:
    score = None if read.sensitive is None else read.sensitive.score(embedding)
    return {
        "name": name,
        "file": file,
        "embedding_base64": floats(embedding),
        "labels": list(read.semantic.labels),
        "probabilities": [float(share) for share in read.semantic.probabilities(embedding[np.newaxis])[0]],
        "sensitive": score,
        "restricted": read.sensitive is not None and score is not None and score >= read.sensitive.unsure_above,
    }
