"""The gate, the frame's quality and the device's re-ranking, each against the slow formula."""

import dataclasses

import msgpack
import numpy as np
import pytest

from sightline_edge import quality
from sightline_edge.gate import Gate
from sightline_edge.ood import OodScore
from sightline_edge.rerank import rerank, unit
from sightline_shared.codec import Codec
from sightline_shared.errors import BundleCorrupt
from sightline_shared.preprocess import luma
from sightline_shared.protocol import Match

RNG = np.random.default_rng(0)
OFFSETS = np.array([0, 0.25, 0.5, 0, 0.125, 0, 0], np.float32)
ROWS = unit(RNG.normal(size=(7, 16)).astype(np.float32))
GATE = Gate(OodScore("cosine", ROWS, OFFSETS), 0.3, 0.5, 20.0, 25.0, 240.0)
WHITENING = RNG.normal(size=(16, 16)).astype(np.float16).astype(np.float32)
OTHER = Gate(OodScore("mahalanobis", ROWS, OFFSETS, 1.0, WHITENING, 0.25, 0.75), 0.3, 0.5, 20.0, 25.0, 240.0)


def test_the_gates_score_is_the_largest_cosine_less_its_prototypes_offset() -> None:
    queries = unit(RNG.normal(size=(20, 16)).astype(np.float32))
    slow = [
        max(float(np.dot(query, prototype)) - offset for prototype, offset in zip(ROWS, OFFSETS, strict=True))
        for query in queries
    ]
    np.testing.assert_allclose(GATE.scores(queries), slow, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose([GATE.score(query) for query in queries], slow, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gate", [GATE, OTHER], ids=["cosine", "mahalanobis"])
def test_a_lone_embeddings_score_is_that_of_a_batch_of_one_bit_for_bit(gate: Gate) -> None:
    queries = unit(RNG.normal(size=(20, 16)).astype(np.float32))
    assert [gate.score(query) for query in queries] == [float(gate.scores(query[np.newaxis])[0]) for query in queries]


def test_a_gate_file_comes_back_with_float16_prototypes() -> None:
    read = Gate.from_bytes(GATE.to_bytes())
    np.testing.assert_allclose(read.ood.rows, GATE.ood.rows, atol=1e-3)
    assert (read.reject_below, read.sure_above, read.min_sharpness) == (0.3, 0.5, 20.0)


def test_cosines_are_written_as_every_older_device_reads_them() -> None:
    fields = msgpack.unpackb(GATE.to_bytes())
    assert fields["format"] == 1 and set(fields) == {
        *("format", "dim", "prototypes", "offsets", "reject_below", "sure_above"),
        *("min_sharpness", "min_brightness", "max_brightness"),
    }
    assert msgpack.unpackb(OTHER.to_bytes())["format"] == 2


def test_any_other_score_comes_back_from_format_2() -> None:
    queries = unit(RNG.normal(size=(20, 16)).astype(np.float32))
    read = Gate.from_bytes(OTHER.to_bytes())
    assert (read.ood.kind, read.ood.gain, read.ood.shift, read.sure_above) == ("mahalanobis", 0.25, 0.75, 0.5)
    np.testing.assert_allclose(read.scores(queries), OTHER.scores(queries), rtol=0.02, atol=0.02)
    assert Gate.from_bytes(read.to_bytes()).to_bytes() == read.to_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"format": 9},
        {"prototypes": b""},
        {"prototypes": bytes(7)},
        {"offsets": bytes(12)},
        {"dim": 0},
        {"reject_below": "low"},
        {"sure_above": float("nan")},
        {"extra": 1},
    ],
)
def test_a_gate_file_with_a_wrong_field_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BundleCorrupt):
        Gate.from_bytes(msgpack.packb({**msgpack.unpackb(GATE.to_bytes()), **change}))


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "oracle"},
        {"kind": "cosine"},
        {"kind": 3},
        {"whitening": b""},
        {"whitening": bytes(2 * 15 * 15)},
        {"rows": b""},
        {"rows": np.full(7 * 16, np.inf, "<f2").tobytes()},
        {"offsets": bytes(8)},
        {"parameter": 0.0},
        {"parameter": float("nan")},
        {"gain": float("inf")},
        {"shift": None},
        {"dim": -16},
        {"extra": 1},
    ],
)
def test_a_format_2_gate_file_with_a_wrong_field_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BundleCorrupt):
        Gate.from_bytes(msgpack.packb({**msgpack.unpackb(OTHER.to_bytes()), **change}))


def test_a_huge_gate_file_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(BundleCorrupt, match="at most"):
        Gate.from_bytes(bytes(17 * 1024 * 1024))


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    tensor = RNG.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    light = [[(299 * int(r) + 587 * int(g) + 114 * int(b)) / 1000 for r, g, b in row] for row in tensor]
    values = [
        light[y - 1][x] + light[y + 1][x] + light[y][x - 1] + light[y][x + 1] - 4 * light[y][x]
        for y in range(1, 11)
        for x in range(1, 11)
    ]
    seen = quality.measure(luma(tensor))
    assert seen.sharpness == pytest.approx(np.var(values), rel=1e-3)
    assert seen.brightness == pytest.approx(np.mean(light), rel=1e-4)


@pytest.mark.parametrize("shape", [(192, 192), (24, 24), (16, 20), (3, 3)])
def test_sharpness_and_brightness_are_bit_for_bit_numpys_variance_and_mean(shape: tuple[int, int]) -> None:
    light = luma(RNG.integers(0, 256, (*shape, 3), dtype=np.uint8))
    around = light[:-2, 1:-1] + light[2:, 1:-1] + light[1:-1, :-2] + light[1:-1, 2:]
    seen = quality.measure(light)
    assert (seen.sharpness, seen.brightness) == ((around - 4 * light[1:-1, 1:-1]).var(), light.mean())


@pytest.mark.parametrize(
    ("sharpness", "brightness", "reason"),
    [(100, 10, "too dark"), (100, 250, "too bright"), (5, 120, "hold still"), (100, 120, None), (0, 0, "too dark")],
)
def test_a_poor_frame_is_turned_away_with_a_reason(sharpness: float, brightness: float, reason: str | None) -> None:
    assert quality.problem(quality.Quality(sharpness, brightness), GATE) == reason


def coarse_codec() -> Codec:
    """A codec that loses a lot: 16 numbers in 4 bytes."""
    centroids = RNG.normal(scale=0.25, size=(4, 256, 4)).astype(np.float32)
    return Codec(np.zeros(16, np.float32), np.eye(16, dtype=np.float32), centroids)


def test_reranking_comes_closer_to_the_float_search_than_the_code_did() -> None:
    codec = coarse_codec()
    items = unit(RNG.normal(size=(400, 16)).astype(np.float32))
    codes = codec.encode(items)
    before, after = [], []
    for query in unit(RNG.normal(size=(50, 16)).astype(np.float32)):
        sent = unit(codec.decode(codec.encode(query[None])))[0]
        exact, served = items @ query, items @ sent
        top = np.argsort(-served)[:20]
        matches = tuple(Match(str(i), float(served[i]), {}, 0, codes[i].tobytes()) for i in top)
        for match in rerank(matches, query[None], (codec.encode(query[None])[0].tobytes(),), codec):
            after.append(abs(match.score - exact[int(match.id)]))
            before.append(abs(served[int(match.id)] - exact[int(match.id)]))
    assert np.mean(after) < 0.7 * np.mean(before)


def test_reranked_matches_are_the_same_items_in_order_of_score() -> None:
    codec = coarse_codec()
    codes = codec.encode(unit(RNG.normal(size=(9, 16)).astype(np.float32)))
    matches = tuple(Match(f"i{n}", 0.5 - n / 100, {"n": n}, n % 2, code.tobytes()) for n, code in enumerate(codes))
    query = unit(RNG.normal(size=(1, 16)).astype(np.float32))[0]
    ranked = rerank(matches, np.stack([query, query]), (codec.encode_one(query),) * 2, codec)
    by_id = {match.id: match for match in ranked}
    assert tuple(dataclasses.replace(by_id[match.id], score=match.score) for match in matches) == matches
    assert [match.score for match in ranked] == sorted((match.score for match in ranked), reverse=True)


def test_without_every_code_the_services_order_stands() -> None:
    matches = (Match("a", 0.5, code=bytes(4)), Match("b", 0.4), Match("c", 0.3, code=bytes(4)))
    query = unit(RNG.normal(size=(1, 16)).astype(np.float32))[0]
    assert rerank(matches, query[None], (bytes(4),), coarse_codec()) is matches
    assert rerank((), query[None], (bytes(4),), coarse_codec()) == ()
