"""The wire: what is packed comes back, what is broken is refused by name, and one code stays within 128 bytes."""

import contextlib
import dataclasses
import math

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline_shared.errors import (
    BodyMalformed,
    BodyTooLarge,
    FilterInvalid,
    InputError,
    ProtocolError,
    ProtocolUnknown,
)
from sightline_shared.protocol import (
    MAX_ANSWER_BYTES,
    MAX_CODES,
    MAX_CODES_BYTES,
    MAX_DEADLINE_MS,
    MAX_K,
    MAX_QUERY_BYTES,
    Answer,
    Decision,
    Match,
    Query,
    pack_answer,
    pack_query,
    unpack_answer,
    unpack_query,
)
from sightline_shared.where import MAX_TEXT_CHARS, Where

QUERY = Query(pairing_id=b"p" * 8, codes=(bytes(range(64)),), request_id=b"r" * 8, gate_scores=(0.4,))
ANSWER = Answer(
    request_id=b"r" * 8,
    decision=Decision.FOUND,
    matches=(Match("shoes/1.jpg", 0.75, {"title": "Red shoe"}, 0, bytes(64)), Match("b", -0.5)),
    reasons=("close",),
    versions={"bundle": "x 1"},
    stages_ms={"search": 0.25},
)


def queries() -> st.SearchStrategy[Query]:
    def build(size: int, count: int, scored: bool, k: int, deadline_ms: int, seed: bytes) -> Query:
        count = min(count, MAX_CODES_BYTES // size)
        codes = tuple(bytes((i + j + seed[0]) % 256 for j in range(size)) for i in range(count))
        scores = tuple(i / 255 for i in range(count)) if scored else ()
        return Query(seed[:8], codes, seed[8:16], k, deadline_ms, scores)

    return st.builds(
        build,
        st.sampled_from((32, 64, 96, 256)),
        st.integers(1, MAX_CODES),
        st.booleans(),
        st.integers(1, MAX_K),
        st.integers(1, MAX_DEADLINE_MS),
        st.binary(min_size=16, max_size=16),
    )


@given(queries())
def test_a_query_comes_back_as_it_was_packed(query: Query) -> None:
    assert unpack_query(pack_query(query)) == query


VALUE = (
    st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9)
)
FILTERS = st.dictionaries(
    st.text(min_size=1, max_size=9), VALUE | st.lists(VALUE, min_size=1, max_size=4), min_size=1, max_size=8
)


@given(FILTERS)
def test_a_filter_comes_back_as_it_was_packed_value_by_value_and_kind_by_kind(wanted: dict) -> None:
    query = dataclasses.replace(QUERY, where=Where.of(wanted))
    packed = pack_query(query)
    assert unpack_query(packed) == query and msgpack.unpackb(packed, strict_map_key=False)[0] == 2


def test_a_query_without_a_filter_is_the_very_bytes_of_protocol_1() -> None:
    body = {0: 1, 1: QUERY.pairing_id, 2: QUERY.codes[0], 3: 20, 4: 2000, 5: QUERY.request_id, 7: bytes([102])}
    assert pack_query(dataclasses.replace(QUERY, where=Where.of({}))) == msgpack.packb(body)


def test_a_filter_that_does_not_fit_the_query_is_named_with_its_size() -> None:
    long = [f"{number:02d}" + "x" * (MAX_TEXT_CHARS - 2) for number in range(11)]
    fits = dataclasses.replace(QUERY, where=Where.of({"brand": long[:9]}))
    assert len(pack_query(fits)) <= MAX_QUERY_BYTES
    with pytest.raises(FilterInvalid, match=r"at most 2048 bytes, got 23\d\d with a filter of 22\d\d"):
        pack_query(dataclasses.replace(QUERY, where=Where.of({"brand": long})))


@pytest.mark.parametrize(
    "wanted",
    [5, "text", [], {"a": "x"}, {"a": []}, {"a": [None]}, {"a": [b"x"]}, {"a": [["x"]]}, {1: ["x"]}, {"": ["x"]},
     {"a": ["x" * 201]}, {"a": list(range(33))}, {f"k{n}": [1] for n in range(9)}, {"a": [math.nan]}, {"a": {"x": 1}}],
)  # fmt: skip
def test_a_filter_that_cannot_be_meant_is_refused(wanted: object) -> None:
    fields = {**msgpack.unpackb(pack_query(QUERY), strict_map_key=False), 0: 2, 8: wanted}
    with pytest.raises((BodyMalformed, FilterInvalid), match="expected"):
        unpack_query(msgpack.packb(fields))


def test_a_filter_under_protocol_1_is_refused_since_others_would_ignore_it() -> None:
    fields = {**msgpack.unpackb(pack_query(QUERY), strict_map_key=False), 8: {"category": ["milk"]}}
    with pytest.raises(BodyMalformed, match="expected protocol 2 with a filter, got 1"):
        unpack_query(msgpack.packb(fields))


def test_protocol_2_without_a_filter_is_read() -> None:
    fields = {**msgpack.unpackb(pack_query(QUERY), strict_map_key=False), 0: 2}
    assert unpack_query(msgpack.packb(fields)) == unpack_query(msgpack.packb({**fields, 8: {}})) == QUERY


@given(k=st.integers(1, MAX_K), deadline_ms=st.integers(1, MAX_DEADLINE_MS))
def test_one_64_byte_code_packs_into_at_most_128_bytes(k: int, deadline_ms: int) -> None:
    assert len(pack_query(dataclasses.replace(QUERY, k=k, deadline_ms=deadline_ms))) <= 128


def test_sixteen_codes_fit_the_cap() -> None:
    largest = dataclasses.replace(QUERY, codes=(bytes(96),) * 16, gate_scores=(1.0,) * 16)
    assert len(pack_query(largest)) <= MAX_QUERY_BYTES


def test_seven_wide_codes_fit_and_eight_are_refused_before_they_are_sent() -> None:
    wide = dataclasses.replace(QUERY, codes=(bytes(256),) * 7, gate_scores=(1.0,) * 7)
    assert len(pack_query(wide)) <= MAX_QUERY_BYTES
    with pytest.raises(InputError, match="at most 1792 bytes of codes"):
        pack_query(dataclasses.replace(QUERY, codes=(bytes(256),) * 8, gate_scores=()))


def test_an_answer_comes_back_as_it_was_packed() -> None:
    assert unpack_answer(pack_answer(ANSWER)) == ANSWER


def test_an_answer_of_twenty_matches_with_codes_stays_small() -> None:
    matches = tuple(Match(f"item-{i:04d}", 0.5, {}, 0, bytes(64)) for i in range(20))
    assert len(pack_answer(dataclasses.replace(ANSWER, matches=matches))) < 2048


@pytest.mark.parametrize("size", range(len(pack_query(QUERY))))
def test_a_truncated_query_is_refused(size: int) -> None:
    with pytest.raises(ProtocolError):
        unpack_query(pack_query(QUERY)[:size])


@pytest.mark.parametrize("size", range(0, len(pack_answer(ANSWER)), 7))
def test_a_truncated_answer_is_refused(size: int) -> None:
    with pytest.raises(ProtocolError):
        unpack_answer(pack_answer(ANSWER)[:size])


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_but_our_own_errors(data: bytes) -> None:
    for unpack in (unpack_query, unpack_answer):
        with pytest.raises(ProtocolError):
            unpack(data)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary(max_size=70) | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.integers(0, 9) | st.text(max_size=3), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.integers(0, 9), VALUES))
def test_well_formed_maps_of_nonsense_raise_nothing_but_our_own_errors(fields: dict[int, object]) -> None:
    for number in (1, 2):
        data = msgpack.packb({**fields, 0: number})
        for unpack in (unpack_query, unpack_answer):
            with contextlib.suppress(ProtocolError, FilterInvalid):
                unpack(data)


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=5) | st.integers(-9, 9), VALUES, max_size=4), st.integers(0, 99))
def test_filters_of_nonsense_raise_nothing_but_our_own_errors(wanted: dict[object, object], cut: int) -> None:
    fields = {**msgpack.unpackb(pack_query(QUERY), strict_map_key=False), 0: 2, 8: wanted}
    data = msgpack.packb(fields)
    for body in (data, data[: len(data) - cut]):
        with contextlib.suppress(ProtocolError, FilterInvalid):
            unpack_query(body)


@pytest.mark.parametrize("number", [0, 4, None, "1", -1, [2], 2**70 / 1.5])
def test_an_unknown_protocol_number_is_named(number: object) -> None:
    fields = {**msgpack.unpackb(pack_query(QUERY), strict_map_key=False), 0: number}
    with pytest.raises(ProtocolUnknown, match="expected protocol 1, 2 or 3, got"):
        unpack_query(msgpack.packb(fields))


@given(st.text(max_size=128), st.booleans())
def test_text_and_sensitive_scores_come_back_under_protocol_3(text: str, scored: bool) -> None:
    query = dataclasses.replace(QUERY, text=text, sensitive_scores=(1.0,) if scored else ())
    packed = pack_query(query)
    assert unpack_query(packed) == query
    assert msgpack.unpackb(packed, strict_map_key=False)[0] == (3 if text or scored else 1)


@pytest.mark.parametrize("protocol", [1, 2])
@pytest.mark.parametrize("field", [{9: "in red"}, {10: b"\xff"}])
def test_what_an_old_service_would_leave_out_is_refused_under_an_old_number(
    protocol: int, field: dict[int, object]
) -> None:
    fields = {**msgpack.unpackb(pack_query(QUERY), strict_map_key=False), 0: protocol, **field}
    with pytest.raises(BodyMalformed, match="expected protocol 3 with"):
        unpack_query(msgpack.packb(fields))


@pytest.mark.parametrize("text", ["x" * 513, "\u00e9" * 257, "\ud800"])
def test_text_that_is_too_long_or_no_text_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected text of at most 512 bytes"):
        pack_query(dataclasses.replace(QUERY, text=text))


def test_a_text_that_makes_the_query_too_long_is_named() -> None:
    codes = tuple(bytes(96) for _ in range(MAX_CODES))
    with pytest.raises(InputError, match="text: expected a query of at most 2048 bytes"):
        pack_query(dataclasses.replace(QUERY, codes=codes, gate_scores=(), text="x" * 512))


@pytest.mark.parametrize("count", [2, 16])
def test_sensitive_scores_are_one_a_code(count: int) -> None:
    with pytest.raises(InputError, match="one sensitive score a code or none"):
        pack_query(dataclasses.replace(QUERY, sensitive_scores=(0.5,) * count))


def test_confidence_and_disclaimer_come_back_and_are_absent_where_there_is_none() -> None:
    answer = dataclasses.replace(ANSWER, confidence=0.9375, disclaimer="This is no medical advice.")
    assert unpack_answer(pack_answer(answer)) == answer
    assert not {9, 10} & set(msgpack.unpackb(pack_answer(ANSWER), strict_map_key=False))


def test_a_bonus_comes_back_and_what_is_none_is_left_alone() -> None:
    answer = dataclasses.replace(ANSWER, matches=(Match("a", 0.75, bonus=0.0625), Match("b", 0.75)))
    assert unpack_answer(pack_answer(answer)) == answer
    fields = msgpack.unpackb(pack_answer(answer), strict_map_key=False)
    assert [len(row) for row in fields[3]] == [6, 5]
    for more in ("x", math.nan, math.inf, [1], None, 7):
        fields[3][0][5] = more
        assert unpack_answer(msgpack.packb(fields)).matches[0] == Match("a", 0.75)


@pytest.mark.parametrize("value", [-0.1, 1.5, math.nan, math.inf])
def test_a_confidence_that_is_no_probability_is_refused(value: float) -> None:
    fields = {**msgpack.unpackb(pack_answer(ANSWER), strict_map_key=False), 9: value}
    with pytest.raises(BodyMalformed, match="expected 0 to 1"):
        unpack_answer(msgpack.packb(fields))


def test_an_answer_of_another_protocol_is_named() -> None:
    fields = {**msgpack.unpackb(pack_answer(ANSWER), strict_map_key=False), 0: 2}
    with pytest.raises(ProtocolUnknown, match="expected protocol 1, got 2"):
        unpack_answer(msgpack.packb(fields))


def test_unknown_keys_are_left_alone() -> None:
    fields = {**msgpack.unpackb(pack_query(QUERY), strict_map_key=False), 99: "from the future"}
    assert unpack_query(msgpack.packb(fields)) == QUERY


def test_oversize_bodies_are_refused_before_they_are_parsed() -> None:
    with pytest.raises(BodyTooLarge, match=f"at most {MAX_QUERY_BYTES} bytes, got {MAX_QUERY_BYTES + 1}"):
        unpack_query(b"\x00" * (MAX_QUERY_BYTES + 1))
    with pytest.raises(BodyTooLarge):
        unpack_answer(b"\x00" * (MAX_ANSWER_BYTES + 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codes": ()}, "expected 1 to 16 codes"),
        ({"codes": (bytes(64),) * 17, "gate_scores": ()}, "expected 1 to 16 codes"),
        ({"codes": (bytes(63),)}, "expected codes of one size"),
        ({"codes": (bytes(64), bytes(32)), "gate_scores": ()}, "expected codes of one size"),
        ({"k": 0}, "expected k in 1..50"),
        ({"k": 51}, "expected k in 1..50"),
        ({"deadline_ms": 0}, "expected deadline_ms"),
        ({"pairing_id": b"short"}, "pairing id of 8 bytes"),
        ({"request_id": b""}, "request id of 8 bytes"),
        ({"gate_scores": (0.1, 0.2)}, "one gate score a code"),
    ],
)
def test_an_impossible_query_is_not_packed(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pack_query(dataclasses.replace(QUERY, **change))


@pytest.mark.parametrize(
    ("key", "value"),
    [(1, "text"), (2, bytes(63)), (2, 5), (3, True), (3, 1e9), (4, -1), (5, bytes(9)), (6, 3), (7, bytes(2))],
)
def test_a_wrong_field_is_refused(key: int, value: object) -> None:
    fields = {**msgpack.unpackb(pack_query(QUERY), strict_map_key=False), key: value}
    with pytest.raises(BodyMalformed):
        unpack_query(msgpack.packb(fields))


@pytest.mark.parametrize("score", [math.nan, math.inf, 3])
def test_a_score_that_is_no_finite_float_is_refused(score: float) -> None:
    fields = msgpack.unpackb(pack_answer(ANSWER), strict_map_key=False)
    fields[3][0][1] = score
    with pytest.raises(BodyMalformed):
        unpack_answer(msgpack.packb(fields))


def test_a_decision_that_does_not_exist_is_refused() -> None:
    fields = {**msgpack.unpackb(pack_answer(ANSWER), strict_map_key=False), 2: 9}
    with pytest.raises(BodyMalformed, match="9 is not a valid Decision"):
        unpack_answer(msgpack.packb(fields))
