"""Vectors of the codec, and of the device's re-ranking.

The small codecs hold numbers of few bits and rotations made of +-1/4, +-1/8 and +-1/16, so that every product and sum is
exact in 32-bit floats in any order: a port's codes are equal or wrong, ties between centroids included.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from sightline_edge.conformance.document import Document, Vector, floats, noise, units
from sightline_edge.rerank import rerank, unit
from sightline_shared.bundle import Bundle
from sightline_shared.codec import CENTROIDS, Codec, padded_dim
from sightline_shared.protocol import Match

# name, d, m, with weights
SMALL = (
    ("32 bytes, format 1", 64, 32, False),
    ("64 bytes, format 1", 64, 64, False),
    ("64 bytes, format 2", 256, 64, True),
    ("96 bytes, format 2", 128, 96, False),
    ("96 bytes, format 2, weighted", 128, 96, True),
    ("wide, 256 bytes", 256, 256, False),
)
VECTORS = 4


def codes(bundle: Bundle) -> Document:
    """Return codec files and vectors with their codes, and what the codes decode to."""
    vectors: list[Vector] = []
    for name, d, m, weighted in SMALL:
        codec, numbers = small_codec(d, m, weighted), _exact(f"vectors of {name}", VECTORS, d)
        vectors += [_code_vector(f"{name}, {i}", _file(name), codec, x) for i, x in enumerate(numbers)]
        vectors.append(_code_vector(f"{name}, ties", _file(name), codec, _between_twins(codec)))
    vectors += [
        _code_vector(f"golden-{i}", _file("golden"), bundle.codec, x) for i, x in enumerate(bundle.golden.embeddings)
    ]
    binaries = {_file(name): small_codec(d, m, weighted).to_bytes() for name, d, m, weighted in SMALL}
    binaries[_file("golden")] = bundle.role("codec")
    about = "codec file and vector -> code (equal) -> decoded vector (within the tolerance)"
    return Document("codes", about, vectors, 1e-5, binaries)


def reranked(bundle: Bundle) -> Document:
    """Return an answer's matches and the float queries, with the scores and the order that the device makes of them."""
    vectors = []
    for name, d, m, weighted in SMALL:
        codec, items = small_codec(d, m, weighted), units(f"items of {name}", 8, d)
        matches = _matches(codec, items[:1], items[1:])
        vectors.append(_rerank_vector(name, _file(name), codec, items[:1], matches))
    codec, golden = bundle.codec, bundle.golden.embeddings
    one, several = _matches(codec, golden[:1], golden[1:]), _matches(codec, golden[:3], golden[1:])
    other_size = Match("a code of another size", 0.1, code=bytes(codec.code_size + 32))
    cases = {
        "golden, one code": (1, one),
        "golden, three codes": (3, several),
        "golden, equal scores keep their order": (1, (*one, dataclasses.replace(one[0], id="twin"))),
        "golden, a match without a code": (1, (*one[:2], Match("no code", 0.1))),
        "golden, a match with a code of another size": (1, (*one[:2], other_size)),
        "golden, no matches": (1, ()),
        "golden, with a bonus": (1, (*one[:-1], dataclasses.replace(one[-1], bonus=0.5))),
    }
    for name, (count, rows) in cases.items():
        vectors.append(_rerank_vector(name, _file("golden"), codec, golden[:count], rows))
    about = "codec file, embeddings, the codes that were sent, matches -> matches in their new order with new scores"
    return Document("rerank", about, vectors, 1e-4)


def small_codec(d: int, m: int, weighted: bool) -> Codec:
    """Return a codec of exact numbers; centroid 200 of every part is centroid 7 again, and the lower index must win."""
    p = padded_dim(d, m)
    label = f"codec {d} {m}"
    width = p // m
    levels = noise(f"{label} centroids", m * CENTROIDS * width).reshape(m, CENTROIDS, width)
    codebooks = (levels.astype(np.float32) - 128) / np.float32(64)
    codebooks[:, 200] = codebooks[:, 7]
    rotation = np.zeros((p, d), np.float32)
    places = np.sort(np.argsort(noise(f"{label} places", p), kind="stable")[:d])
    rotation[places] = _rotation(d)
    # Where a row is zeros a trained codec's centroids are zero too.
    flat = codebooks.transpose(0, 2, 1).reshape(p, CENTROIDS)
    flat[np.setdiff1d(np.arange(p), places)] = 0
    codebooks = np.ascontiguousarray(flat.reshape(m, width, CENTROIDS).transpose(0, 2, 1))
    weights = np.float32(2.0) ** (noise(f"{label} weights", p) % 3 - np.float32(1)) if weighted else None
    return Codec(mean=_exact(f"{label} mean", 1, d)[0], rotation=rotation, codebooks=codebooks, weights=weights)


def _between_twins(codec: Codec) -> NDArray[np.float32]:
    """Return the vector that lies on centroids 7 and 200 of every part."""
    vector: NDArray[np.float32] = codec.decode(np.full((1, codec.code_size), 200, np.uint8))[0]
    return vector


def _rotation(d: int) -> NDArray[np.float32]:
    """Return a `(d, d)` rotation of Hadamard blocks of 64 or 256, whose entries are +-1/8 or +-1/16."""
    block = 256 if d % 256 == 0 else 64
    hadamard = np.ones((1, 1), np.float32)
    while len(hadamard) < block:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    rotation: NDArray[np.float32] = np.kron(np.eye(d // block, dtype=np.float32), hadamard / np.sqrt(np.float32(block)))
    return rotation


def _exact(label: str, count: int, dim: int) -> NDArray[np.float32]:
    """Return `(count, dim) float32` multiples of 1/8 from -1 to 7/8."""
    return ((noise(label, count * dim).reshape(count, dim) // 16).astype(np.float32) - 8) / np.float32(8)


def _file(name: str) -> str:
    return f"codec-{name.replace(',', '').replace(' ', '-')}.msgpack"


def _code_vector(name: str, file: str, codec: Codec, vector: NDArray[np.float32]) -> Vector:
    code = codec.encode(vector[np.newaxis])
    return {
        "name": name,
        "file": file,
        "vector_base64": floats(vector),
        "code_hex": code.tobytes().hex(),
        "decoded_base64": floats(codec.decode(code)[0]),
    }


def _matches(codec: Codec, queries: NDArray[np.float32], items: NDArray[np.float32]) -> tuple[Match, ...]:
    """Return `items` as the service would: best first by the cosine to the nearest decoded query."""
    cosines = items @ unit(codec.decode(codec.encode(queries))).T
    nearest, item_codes = cosines.argmax(axis=1), codec.encode(items)
    rows = [
        Match(f"item {i}", float(cosines[i, index]), code_index=int(index), code=item_codes[i].tobytes())
        for i, index in enumerate(nearest)
    ]
    return tuple(sorted(rows, key=lambda match: -match.score))


def _rerank_vector(
    name: str, file: str, codec: Codec, embeddings: NDArray[np.float32], matches: tuple[Match, ...]
) -> Vector:
    sent = tuple(code.tobytes() for code in codec.encode(embeddings))
    return {
        "name": name,
        "file": file,
        "embeddings_base64": [floats(embedding) for embedding in embeddings],
        "codes_hex": [code.hex() for code in sent],
        "matches": [
            {
                "id": match.id,
                "score": match.score,
                "code_index": match.code_index,
                "code_hex": match.code.hex() if match.code else None,
                # Not in vectors from before there was one.
                **({"bonus": match.bonus} if match.bonus else {}),
            }
            for match in matches
        ],
        "reranked": [{"id": match.id, "score": match.score} for match in rerank(matches, embeddings, sent, codec)],
    }
