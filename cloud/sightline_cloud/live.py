"""One live generation: a bundle, its model, and the indexes over the vectors that it made."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline_cloud.catalog.records import Embedding
from sightline_cloud.catalog.store import Store
from sightline_cloud.ingest.gallery_model import GalleryModel
from sightline_cloud.rank.confidence import Confidences
from sightline_cloud.settings import Settings
from sightline_cloud.shards.sharded import ShardedIndexes
from sightline_shared.bundle import Bundle
from sightline_shared.preprocess import to_tensor


class LiveGeneration:
    """Answers the queries of one pairing id, and embeds what is added."""

    def __init__(self, bundle: Bundle, store: Store, settings: Settings) -> None:
        self.bundle, self.codec = bundle, bundle.codec
        self.pairing_id = bundle.pairing.id
        self.confidences = Confidences(bundle, settings.data_dir)
        self._store, self._settings = store, settings
        self._loading = threading.Lock()
        self._model: GalleryModel | None = None

    @property
    def key(self) -> str:
        """The pairing id in hex: the generation's name in the catalogue and to people."""
        return self.pairing_id.hex()

    @cached_property
    def indexes(self) -> ShardedIndexes:
        folder = self._settings.index_dir / self.key
        return ShardedIndexes(partial(self._store.feed, self.key), self.codec, self._settings, folder)

    def close(self) -> None:
        if "indexes" in self.__dict__:  # opened
            self.indexes.close()

    @property
    def model(self) -> GalleryModel:
        """Loaded when it is first used: a service that only answers needs no model in memory. Raises RuntimeFailed."""
        with self._loading:
            if self._model is None:
                self._model = GalleryModel(self.bundle, threads=self._settings.embed_threads)
            return self._model

    def tensor(self, image: Image.Image) -> NDArray[np.uint8]:
        """Return the model's input `(s, s, 3) uint8` for a picture."""
        return to_tensor(image, self.bundle.manifest.input_size)

    def embed(self, tensors: Sequence[NDArray[np.uint8]]) -> list[Embedding]:
        """Return vector and code for each of `tensors`; raises RuntimeFailed."""
        vectors = self.model.embed(np.stack(tensors))
        codes = self.codec.encode(vectors)
        return [Embedding(vector, code.tobytes()) for vector, code in zip(vectors, codes, strict=True)]
