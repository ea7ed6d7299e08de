"""The text tower: what a text means, as a vector. ONNX Runtime on one thread, no torch.

A vector is of unit length and of the tower's own width; `modifier` is a direction in the pictures' space. What was asked and what
items say is kept in memory for a while, never written down.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from sightline_shared.errors import BundleCorrupt, VersionMismatch
from sightline_shared.tower import ENCODER, INPUT, MAX_PIECES, OUTPUT, TowerFiles, open_tower

# Texts whose vectors are kept: queries come back within a session, items for as long as they are found.
ASKED, ITEMS = 256, 10_000
# First and last piece: a text that has no other says nothing.
MARKS = 2

Vector = NDArray[np.float32]


class TextTower:
    """One tower; safe between threads."""

    def __init__(self, files: TowerFiles) -> None:
        """Raises BundleCorrupt for an encoder that is no such network."""
        self.name, self.pairing_id, self.metrics = files.name, files.pairing_id, files.metrics
        self._vocabulary, self._projection = files.vocabulary, files.projection
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(files.encoder, options, providers=["CPUExecutionProvider"])
            got = self._run(files.vocabulary.numbers("a text", MAX_PIECES))
        except Exception as error:  # onnxruntime has no base class of its own
            raise BundleCorrupt(
                f"text tower {files.name}, {ENCODER}: expected a network from '{INPUT}' to '{OUTPUT}', got {error!r:.200}.",
                hint="Make it again: 'sightline export text'.",
            ) from error
        width = files.projection.weight.shape[1]
        if got.shape != (width,) or not abs(float(np.linalg.norm(got)) - 1) < 0.01:
            raise BundleCorrupt(
                f"text tower {files.name}: expected unit vectors of {width} numbers, got {got.shape} of length "
                f"{float(np.linalg.norm(got)):.3f}.",
                hint="Make it again: 'sightline export text'.",
            )
        self.asked = lru_cache(ASKED)(self._vector)
        self.of_item = lru_cache(ITEMS)(self._vector)

    @classmethod
    def open(cls, directory: Path, live: Collection[bytes]) -> TextTower:
        """Open the tower in `directory` for a service of the generations `live` (pairing ids).

        Raises BundleNotFound, BundleCorrupt, BundleUnsupported, and VersionMismatch for a tower that was made with none of
        these generations' bundles.
        """
        files = open_tower(directory)
        if files.pairing_id not in live:
            raise VersionMismatch(
                f"text_tower {directory}: expected a tower made with pairing id {' or '.join(key.hex() for key in live)}, "
                f"got one made with {files.pairing_id.hex()} ({files.label}).",
                hint="Make one for the bundle: 'sightline export text --bundle BUNDLE'.",
            )
        return cls(files)

    def modifier(self, text: str) -> Vector | None:
        """Return the unit vector `(d,)` from the mean picture to what the text says; None of a text that says nothing."""
        vector = self.asked(text)
        return None if vector is None else self._projection.apply(vector[np.newaxis])[0]

    def _vector(self, text: str) -> Vector | None:
        pieces = self._vocabulary.numbers(text, MAX_PIECES)
        return self._run(pieces) if len(pieces) > MARKS else None

    def _run(self, pieces: list[int]) -> Vector:
        vector: Vector = self._session.run([OUTPUT], {INPUT: np.array([pieces], np.int64)})[0][0]
        vector.flags.writeable = False
        return vector
