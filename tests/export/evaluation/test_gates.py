"""The bars: what misses, what is not measured, what is refused, and that a manifest remembers what was forced."""

from __future__ import annotations

import dataclasses
import json

import pytest

from sightline_export.evaluate import Figure
from sightline_export.evaluation.gates import Bar, bars_of, check, refuse, unmeasured
from sightline_export.recipe import Evaluation, Recipe, Regression, Source
from sightline_shared.errors import BarMissed, BundleCorrupt
from sightline_shared.manifest import Manifest


def figure(value: float) -> Figure:
    return Figure(value, (value - 0.1, value + 0.1), 50, "test")


def test_a_figure_at_its_bar_passes_and_beyond_it_misses() -> None:
    bars = [Bar("a", least=0.5), Bar("b.*", most=0.1)]
    assert not check({"a": figure(0.5), "b.x": figure(0.1)}, bars)
    misses = check({"a": figure(0.49), "b.x": figure(0.11), "b.y": figure(-3.0), "c": figure(9.0)}, bars)
    assert [miss.name for miss in misses] == ["a", "b.x"]
    assert str(misses[0]) == "a: expected at least 0.5, got 0.490 [0.390, 0.590] (n = 50)"
    assert "at most 0.1" in str(misses[1])


def test_not_a_number_misses_every_bar() -> None:
    nothing = Figure(float("nan"), None, 0, "nothing")
    assert check({"a": nothing}, [Bar("a", least=-1e9)]) and check({"a": nothing}, [Bar("a", most=1e9)])


def test_what_was_not_measured_is_told() -> None:
    bars = [Bar("a", least=1), Bar("b.*", most=0)]
    assert unmeasured({"b.x": figure(0)}, bars) == ["a"]


def test_a_miss_is_refused_by_name_figure_and_bar() -> None:
    refuse([])
    with pytest.raises(BarMissed, match=r"robustness.mean: expected at least 0.85, got 0.700") as caught:
        refuse(check({"robustness.mean": figure(0.7)}, bars_of(recipe())))
    assert caught.value.code == "E_BAR_MISSED"


def test_the_recipe_sets_the_bars() -> None:
    names = [bar.pattern for bar in bars_of(recipe())]
    assert "robustness.mean" in names and "regression.*.R@1" not in names
    none = Evaluation(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert bars_of(dataclasses.replace(recipe(), evaluation=none)) == []
    found = bars_of(dataclasses.replace(recipe(), regression=Regression("old", 0.03)))
    assert found[-1] == Bar("regression.*.R@1", most=0.03)


def recipe() -> Recipe:
    return Recipe("test", (Source("a", folder="x"),))


def test_a_manifest_remembers_what_was_forced(tiny) -> None:
    forced = dataclasses.replace(tiny.manifest, forced=("a: expected 1, got 0",))
    assert Manifest.from_bytes(forced.to_bytes()) == forced


def test_an_ordinary_manifest_is_what_older_readers_know(tiny) -> None:
    fields = json.loads(tiny.manifest.to_bytes())
    assert "forced" not in fields and Manifest.from_bytes(tiny.manifest.to_bytes()).forced == ()
    with pytest.raises(BundleCorrupt):
        Manifest.from_bytes(json.dumps({**fields, "forced": [1]}).encode())
