"""Bodies for `POST /v1/search` and `POST /v1/items`: right ones, nearly right ones, and noise that is msgpack."""

from typing import Any

import msgpack
from hypothesis import strategies as st

from support.tiny_bundle import jpeg, picture

texts = st.text(st.characters(codec="utf-8"), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | texts | st.binary(max_size=80)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
# One byte, two bytes, or the end of a body are changed.
damages = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=3)
cuts = st.none() | st.integers(0, 4096)


def queries(pairing_id: bytes) -> st.SearchStrategy[bytes]:
    """Queries of this pairing id, as maps that are right, with fields changed or gone, or with bytes changed."""
    fields = st.fixed_dictionaries(
        {
            0: st.sampled_from([1, 2, 3]),
            1: st.just(pairing_id),
            2: st.integers(1, 3).flatmap(lambda codes: st.binary(min_size=64 * codes, max_size=64 * codes)),
            3: st.integers(1, 50),
            4: st.integers(1, 60_000),
            5: st.binary(min_size=8, max_size=8),
        },
        optional={
            8: st.dictionaries(st.sampled_from(["category", "brand"]) | texts, st.lists(texts, min_size=1, max_size=3)),
            9: texts,
            11: trees,
        },
    ).map(_counted)
    return _spoiled(fields, st.integers(-3, 14))


def items() -> st.SearchStrategy[bytes]:
    """Items, likewise; their pictures are JPEG or noise."""
    pictures = st.integers(20, 24).map(lambda number: jpeg(picture(number))) | st.binary(max_size=200)
    fields = st.fixed_dictionaries(
        {"id": st.sampled_from(["item/1", "new"]) | texts, "image": pictures},
        optional={"metadata": st.dictionaries(texts, scalars, max_size=3) | trees},
    )
    return _spoiled(fields, texts)


def _counted(fields: dict[int, Any]) -> dict[int, Any]:
    """Say how many codes there are, one score each where the protocol knows any, and the least protocol that will do."""
    codes = len(fields[2]) // 64
    scores = {10: bytes(codes)} if fields[0] == 3 else {}
    least = 3 if 9 in fields else 2 if 8 in fields else 1
    return {**fields, 0: max(fields[0], least), 6: codes, 7: bytes(codes), **scores}


def _spoiled(fields: st.SearchStrategy[dict[Any, Any]], keys: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    changed = st.tuples(fields, st.dictionaries(keys, trees, max_size=2), st.sets(keys, max_size=1)).map(
        lambda drawn: {key: value for key, value in {**drawn[0], **drawn[1]}.items() if key not in drawn[2]}
    )
    broken = st.tuples((fields | changed).map(packed), damages, cuts).map(lambda drawn: _broken(*drawn))
    return st.one_of(
        fields.map(packed), fields.map(packed), changed.map(packed), broken, trees.map(packed), st.binary(max_size=300)
    )


def packed(value: Any) -> bytes:
    """Return the msgpack of `value`, and of what msgpack cannot hold a byte that it never uses."""
    try:
        return msgpack.packb(value)
    except (OverflowError, ValueError):
        return b"\xc1"


def _broken(body: bytes, damage: list[tuple[int, int]], cut: int | None) -> bytes:
    changed = bytearray(body)
    for at, value in damage:
        changed[at % len(changed)] = value
    return bytes(changed[:cut])
