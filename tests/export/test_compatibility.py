"""Backward compatibility: the teacher turns without bending, and the old model's centres are its class means."""

from __future__ import annotations

import numpy as np

from sightline_export.compatibility import procrustes


def test_procrustes_finds_the_turn_and_keeps_every_distance() -> None:
    rng = np.random.default_rng(0)
    source = rng.normal(size=(50, 8)).astype(np.float32)
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0].astype(np.float32)
    found = procrustes(source, source @ turn + rng.normal(size=(50, 8)).astype(np.float32) * 0.01)
    assert np.allclose(found, turn, atol=0.02)
    assert np.allclose(found @ found.T, np.eye(8), atol=1e-5)


def test_procrustes_beats_any_other_turn_it_is_compared_with() -> None:
    rng = np.random.default_rng(1)
    source, target = (rng.normal(size=(40, 6)).astype(np.float32) for _ in range(2))
    best = np.linalg.norm(source @ procrustes(source, target) - target)
    for seed in range(20):
        other = np.linalg.qr(np.random.default_rng(seed).normal(size=(6, 6)))[0]
        assert np.linalg.norm(source @ other - target) >= best
