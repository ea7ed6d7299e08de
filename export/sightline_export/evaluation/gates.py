"""The bars of an export: which figures must reach what, and which of them did not."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase

from sightline_export.evaluate import Figure
from sightline_export.recipe import Evaluation, Recipe
from sightline_shared.errors import BarMissed, GoldenMismatch


@dataclass(frozen=True)
class Bar:
    """What the figures named by `pattern` (`*` stands for anything) must be: at least, or at most."""

    pattern: str
    least: float = -math.inf
    most: float = math.inf


@dataclass(frozen=True)
class Miss:
    """A figure that missed its bar."""

    name: str
    figure: Figure
    bar: Bar

    def __str__(self) -> str:
        bound = f"at least {self.bar.least:g}" if self.bar.least > -math.inf else f"at most {self.bar.most:g}"
        return f"{self.name}: expected {bound}, got {self.figure} (n = {self.figure.n})"


def check(figures: Mapping[str, Figure], bars: Sequence[Bar]) -> list[Miss]:
    """Return every figure outside a bar that names it; a figure that is not a number misses every bar."""
    return [
        Miss(name, figure, bar)
        for bar in bars
        for name, figure in figures.items()
        if fnmatchcase(name, bar.pattern) and not bar.least <= figure.value <= bar.most
    ]


def unmeasured(figures: Mapping[str, Figure], bars: Sequence[Bar]) -> list[str]:
    """Return the patterns that name no figure at all: what the export was not judged by."""
    return [bar.pattern for bar in bars if not any(fnmatchcase(name, bar.pattern) for name in figures)]


def bars_of(recipe: Recipe) -> list[Bar]:
    """Return the bars that a recipe sets; a bar of 0 is none."""
    settings: Evaluation = recipe.evaluation
    found = [
        Bar("robustness.mean", least=settings.robustness_kept),
        Bar("collapse.effective_rank", least=settings.effective_rank),
        Bar("collapse.neighbour_entropy", least=settings.neighbour_entropy),
        Bar("stability.cosine", least=settings.stability_cosine),
        Bar("counterfactual.studio.object_wins", least=settings.object_wins),
    ]
    found = [bar for bar in found if bar.least > 0]
    if recipe.regression.bundle:
        found.append(Bar("regression.*.R@1", most=recipe.regression.max_loss))
    return found


def refuse(misses: Sequence[Miss]) -> None:
    """Raise BarMissed naming every miss; nothing when there is none."""
    if misses:
        raise BarMissed(f"{len(misses)} of the export's bars missed: " + "; ".join(str(miss) for miss in misses) + ".")


@contextmanager
def forgiving(force: bool, forced: list[str]) -> Iterator[None]:
    """Let a missed bar through when `force` is set, and put what was missed into `forced`."""
    try:
        yield
    except (BarMissed, GoldenMismatch) as error:
        if not force:
            raise
        forced.append(error.message)
