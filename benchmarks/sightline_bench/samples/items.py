"""Items: seeded families of near-sibling products."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from .canvas import RGB, SampleError
from .drawing import Drawing
from .icons import ICONS
from .labels import LAYOUT_COUNT, LabelSpec
from .palette import COLOURS, make_palette
from .patterns import PATTERNS
from .sprites import FAMILIES

_HEADS = (
    "Lu",
    "Mo",
    "Ka",
    "Ve",
    "Bri",
    "So",
    "Ta",
    "Nor",
    "Fi",
    "Pel",
    "Zu",
    "Ar",
    "Quin",
    "Ha",
    "Oli",
    "Ju",
    "Em",
    "Ra",
)
_TAILS = (
    "mo",
    "ra",
    "vik",
    "lo",
    "na",
    "sta",
    "beo",
    "dal",
    "ri",
    "mund",
    "zo",
    "lin",
    "kel",
    "va",
    "pico",
    "tara",
    "by",
    "nu",
)
_PUMPED = ("shampoo", "hand soap", "body lotion", "hand cream")
_POURED = ("orange juice", "olive oil", "iced tea", "syrup", "lemonade", "vinegar")
_WORDS: dict[str, tuple[str, ...]] = {
    "can": ("cola", "tomatoes", "ginger ale", "chickpeas", "tonic", "peaches", "cold brew"),
    "jar": ("honey", "pesto", "jam", "peanut butter", "olives", "pickles", "curry paste"),
    "mug": ("stoneware", "enamel", "porcelain", "camp ware"),
    "tube": ("toothpaste", "hand cream", "sun lotion", "face gel", "mustard"),
    "lamp": ("table lamp", "desk light", "bedside lamp"),
    "clock": ("wall clock", "kitchen clock", "studio clock"),
    "carton": ("oat drink", "whole milk", "apple juice", "coconut water", "soup", "soy drink"),
    "box": ("cereal", "green tea", "crackers", "light bulb", "puzzle", "pasta", "cocoa"),
    "book": ("a novel", "field guide", "cook book", "short stories", "atlas", "poems"),
    "chair": ("dining chair", "side chair", "kids chair"),
    "pouch": ("crisps", "coffee beans", "trail mix", "rice", "dog treats", "granola"),
    "bag": ("city bag", "weekend bag", "day bag"),
    "sneaker": ("runner", "court shoe", "trail shoe", "skate shoe"),
    "shirt": ("T-shirt", "jersey tee", "summer tee"),
    "cap": ("cap", "beanie", "team hat"),
}


_UNLABELLED = frozenset({"mug", "lamp", "clock", "chair", "bag", "sneaker", "shirt", "cap"})
"""Families that show no label layout or product name, so siblings must differ in the pattern."""


@dataclass(frozen=True)
class SampleItem:
    """One product of the catalogue; group names the sibling set and drawing fixes every pixel."""

    id: str
    category: str
    title: str
    seed: int
    group: str
    drawing: Drawing


def _words(family: str, variant: int) -> tuple[str, ...]:
    """Return the product names that suit a family and its closure (a pump holds no juice)."""
    if family == "bottle":
        return _PUMPED if variant % 4 == 2 else _POURED
    return _WORDS[family]


def _word(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _brand(rng: np.random.Generator) -> str:
    return _word(rng, _HEADS) + _word(rng, _TAILS)


def _trim(rng: np.random.Generator) -> RGB:
    return COLOURS[
        _word(
            rng,
            (
                "white",
                "charcoal",
                "red",
                "navy",
                "green",
                "kraft",
                "cream",
                "yellow",
                "brown",
                "teal",
                "grey",
            ),
        )
    ]


def _first(family: str, rng: np.random.Generator) -> Drawing:
    variant = int(rng.integers(12))
    words = _words(family, variant)
    label = LabelSpec(
        brand=_brand(rng),
        word=_word(rng, words),
        layout=int(rng.integers(LAYOUT_COUNT)),
        pattern=_word(rng, tuple(PATTERNS)),
        icon=_word(rng, tuple(ICONS)),
        palette=make_palette(rng),
        step=round(float(rng.uniform(0.08, 0.17)), 3),
    )
    a, b, c, d, e, f = (round(float(v), 3) for v in rng.random(6))
    return Drawing(
        family=family,
        variant=variant,
        shape=(a, b, c, d, e, f),
        label=label,
        trim=_trim(rng),
        gloss=round(float(rng.uniform(0.15, 0.8)), 3),
        seed=int(rng.integers(2**31)),
    )


def _sibling(first: Drawing, kin: int, rng: np.random.Generator, used: set[str]) -> Drawing:
    """Return a near-copy of first: by kin it changes colours, pattern, or print and trim."""
    label = first.label
    if kin % 3 == 1:
        label = replace(label, palette=make_palette(rng, frozenset(used)))
    elif kin % 3 == 2:
        others = tuple(name for name in PATTERNS if name not in used) or tuple(PATTERNS)
        label = replace(label, pattern=_word(rng, others), icon=_word(rng, tuple(ICONS)))
    elif first.family in _UNLABELLED:
        others = tuple(name for name in PATTERNS if name not in used) or tuple(PATTERNS)
        label = replace(label, pattern=_word(rng, others))
        return replace(first, label=label, trim=_trim(rng))
    else:
        words = tuple(w for w in _words(first.family, first.variant) if w != label.word)
        icons = tuple(name for name in ICONS if name != label.icon)
        label = replace(
            label,
            word=_word(rng, words),
            icon=_word(rng, icons),
            layout=label.layout + 1 + int(rng.integers(LAYOUT_COUNT - 1)),
        )
        return replace(first, label=label, trim=_trim(rng))
    return replace(first, label=label)


def _title(drawing: Drawing) -> str:
    label = drawing.label
    return f"{label.brand} {label.word}, {label.palette.name} {label.pattern} {drawing.family} with {label.icon}"


def make_items(n: int, seed: int = 0) -> list[SampleItem]:
    """Return n items, families in turn and siblings side by side; a prefix of any longer list."""
    if n < 0:
        raise SampleError(f"expected a count of items >= 0, got {n}")
    families, items = tuple(FAMILIES), list[SampleItem]()
    for group in count():
        if len(items) >= n:
            break
        family = families[group % len(families)]
        rng = np.random.default_rng([seed, group])
        first = _first(family, rng)
        size = 2 if group < len(families) else 3 + group % 2
        used, seen = {first.label.palette.name, first.label.pattern}, set[Drawing]()
        for kin in range(size):
            drawing = first if kin == 0 else _sibling(first, kin + group, rng, used)
            used |= {drawing.label.palette.name, drawing.label.pattern}
            tag, number = int(rng.integers(1 << 16)), len(items)
            if drawing in seen:
                continue
            seen.add(drawing)
            items.append(
                SampleItem(
                    id=f"{family}-{number:04d}-{tag:04x}",
                    category=family,
                    title=_title(drawing),
                    seed=int(rng.integers(2**31)),
                    group=f"{family}-group-{group:04d}",
                    drawing=drawing,
                )
            )
    return items[:n]
