"""What travels: one query, one answer, as msgpack maps with small integer keys.

`POST /v1/search` with `Content-Type: application/msgpack`. shared/README.md lists every key; these functions are
the only code that knows them. Rules of evolution: a new key may be added at any time and is ignored by whoever
does not know it; a key never changes its meaning; a change that an old reader must not ignore raises the protocol
number, and only bodies that use it: a query without a filter is still protocol 1, byte for byte.

The query carries PQ codes, never pixels. 64 bytes are small, not private: a code still tells whoever can decode
it roughly what was in front of the camera.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack

from sightline_shared.errors import BodyMalformed, BodyTooLarge, FilterInvalid, InputError, ProtocolUnknown
from sightline_shared.versions import PAIRING_BYTES
from sightline_shared.where import Where

PROTOCOL = 1
# A query says what a service must know to answer it: one that does not know filters, or text and sensitive scores, must
# refuse it, not leave them out.
FILTER_PROTOCOL = 2
TEXT_PROTOCOL = 3
QUERY_PROTOCOLS = (PROTOCOL, FILTER_PROTOCOL, TEXT_PROTOCOL)
MEDIA_TYPE = "application/msgpack"
MAX_CODES = 16
MAX_K = 50
DEFAULT_K = 20
MAX_DEADLINE_MS = 60_000
REQUEST_ID_BYTES = 8
CODE_SIZES = (32, 64, 96, 256)
# Sixteen codes of 96 bytes, or seven wide ones: what fits a query's cap with everything else.
MAX_CODES_BYTES = 1792
MAX_QUERY_BYTES = 2048
MAX_ANSWER_BYTES = 256 * 1024
MAX_ID_CHARS = 200
MAX_TEXT_BYTES = 512


class Decision(enum.IntEnum):
    """What the answer claims. The number travels, the lower-case name is shown to people."""

    FOUND = 1
    UNSURE = 2
    NOT_FOUND = 3
    RESTRICTED = 4

    @property
    def label(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Query:
    """One question: 1 to 16 codes of equal size (crops or frames of one moment), best first.

    `gate_scores` are the device's gate scores, one a code, in [0, 1]; they travel as one byte each.
    `deadline_ms` is what is left for network and service together when the query is packed. Only items that pass
    `where` are wanted. `text` says what the picture does not ("in red"), at most 512 bytes of UTF-8. `sensitive_scores`
    are the device's, one a code: they are sent by a device that found the subject sensitive and asks all the same.
    """

    pairing_id: bytes
    codes: tuple[bytes, ...]
    request_id: bytes
    k: int = DEFAULT_K
    deadline_ms: int = 2000
    gate_scores: tuple[float, ...] = ()
    where: Where = field(default_factory=Where)
    text: str = ""
    sensitive_scores: tuple[float, ...] = ()


@dataclass(frozen=True)
class Match:
    """One item: `score` is the cosine similarity in [-1, 1], `code_index` the query code that found it.

    `code` is the item's own code, present for API keys with the rerank scope, so that the device can score it
    with its float query. `bonus`, in cosine units, is what the service's ranking adds to the score for the item's metadata:
    matches come in the order of the sum.
    """

    id: str
    score: float
    metadata: Mapping[str, Any] = field(default_factory=dict)
    code_index: int = 0
    code: bytes | None = None
    bonus: float = 0.0


@dataclass(frozen=True)
class Answer:
    """The service's answer; `stages_ms` are milliseconds inside the service, `versions` name what answered.

    `confidence`: the probability in [0, 1] that the first match is right, from a service that estimates one. `disclaimer`
    must be shown with the answer where there is one.
    """

    request_id: bytes
    decision: Decision
    matches: tuple[Match, ...] = ()
    reasons: tuple[str, ...] = ()
    partial: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    confidence: float | None = None
    disclaimer: str = ""


def pack_query(query: Query) -> bytes:
    """Return the request body; a single 64-byte code without a filter packs into at most 128 bytes.

    Raises InputError, and FilterInvalid when the filter does not fit the query's cap.
    """
    problem = _query_problem(query)
    if problem:
        raise InputError(f"query: {problem}.")
    body: dict[int, Any] = {
        0: _protocol_of(query),
        1: query.pairing_id,
        2: b"".join(query.codes),
        3: query.k,
        4: query.deadline_ms,
        5: query.request_id,
    }
    if len(query.codes) > 1:
        body[6] = len(query.codes)
    if query.gate_scores:
        body[7] = _score_bytes(query.gate_scores)
    if query.where:
        body[8] = {key: [value for _, value in values] for key, values in query.where.terms}
    if query.text:
        body[9] = query.text
    if query.sensitive_scores:
        body[10] = _score_bytes(query.sensitive_scores)
    packed: bytes = msgpack.packb(body)
    if len(packed) > MAX_QUERY_BYTES:
        raise _too_long(len(packed), body)
    return packed


def _too_long(size_bytes: int, body: dict[int, Any]) -> InputError:
    """Return the error of a query that a filter or a text makes too long; without them every query fits."""
    kind, label, what, key = (FilterInvalid, "where", "filter", 8) if 8 in body else (InputError, "text", "text", 9)
    return kind(
        f"{label}: expected a query of at most {MAX_QUERY_BYTES} bytes, got {size_bytes} with a {what} of "
        f"{len(msgpack.packb(body[key]))}.",
        hint="Ask for fewer or shorter values, or send fewer codes.",
    )


def _protocol_of(query: Query) -> int:
    if query.text or query.sensitive_scores:
        return TEXT_PROTOCOL
    return FILTER_PROTOCOL if query.where else PROTOCOL


def _score_bytes(scores: tuple[float, ...]) -> bytes:
    return bytes(round(255 * min(1.0, max(0.0, score))) for score in scores)


def unpack_query(data: bytes) -> Query:
    """Read a request body; raises BodyTooLarge, ProtocolUnknown, BodyMalformed or FilterInvalid."""
    fields = _unpack_map(data, MAX_QUERY_BYTES, "request body", QUERY_PROTOCOLS)
    try:
        blob, count = _typed(fields, 2, bytes), _typed(fields, 6, int, 1)
        if not 1 <= count <= MAX_CODES or len(blob) % count:
            raise BodyMalformed(
                f"request body: expected 1 to {MAX_CODES} codes of equal size, got {count} in {len(blob)} bytes."
            )
        size = len(blob) // count
        query = Query(
            pairing_id=_typed(fields, 1, bytes),
            codes=tuple(blob[i * size : (i + 1) * size] for i in range(count)),
            k=_typed(fields, 3, int, DEFAULT_K),
            deadline_ms=_typed(fields, 4, int, 2000),
            request_id=_typed(fields, 5, bytes),
            gate_scores=tuple(byte / 255 for byte in _typed(fields, 7, bytes, b"")),
            where=_unpack_where(fields),
            text=_under(fields, 9, str, "", TEXT_PROTOCOL, "a text"),
            sensitive_scores=tuple(
                byte / 255 for byte in _under(fields, 10, bytes, b"", TEXT_PROTOCOL, "sensitive scores")
            ),
        )
    except KeyError as error:
        raise BodyMalformed(f"request body: expected key {error}, got keys {sorted(map(str, fields))}.") from error
    problem = _query_problem(query)
    if problem:
        raise BodyMalformed(f"request body: {problem}.")
    return query


def pack_answer(answer: Answer) -> bytes:
    """Return the response body."""
    body: dict[int, Any] = {
        0: PROTOCOL,
        1: answer.request_id,
        2: int(answer.decision),
        3: [_pack_match(match) for match in answer.matches],
        4: list(answer.reasons),
        5: answer.partial,
        6: dict(answer.versions),
        7: {stage: round(ms, 3) for stage, ms in answer.stages_ms.items()},
    }
    if answer.confidence is not None:
        body[9] = round(answer.confidence, 4)
    if answer.disclaimer:
        body[10] = answer.disclaimer
    packed: bytes = msgpack.packb(body)
    return packed


def unpack_answer(data: bytes) -> Answer:
    """Read a response body; raises BodyTooLarge, ProtocolUnknown or BodyMalformed."""
    fields = _unpack_map(data, MAX_ANSWER_BYTES, "response body", (PROTOCOL,))
    try:
        rows = _typed(fields, 3, list)
        if len(rows) > MAX_K:
            raise BodyMalformed(f"response body: expected at most {MAX_K} matches, got {len(rows)}.")
        return Answer(
            request_id=_typed(fields, 1, bytes),
            decision=Decision(_typed(fields, 2, int)),
            matches=tuple(_unpack_match(row) for row in rows),
            reasons=tuple(_each(_typed(fields, 4, list, []), str)),
            partial=_typed(fields, 5, bool, False),
            versions=_string_map(_typed(fields, 6, dict, {}), str),
            stages_ms=_string_map(_typed(fields, 7, dict, {}), float),
            confidence=_share(fields, 9),
            disclaimer=_typed(fields, 10, str, ""),
        )
    except KeyError as error:
        raise BodyMalformed(f"response body: expected key {error}, got keys {sorted(map(str, fields))}.") from error
    except ValueError as error:
        raise BodyMalformed(f"response body: {error}.") from error


def check_text(text: str) -> None:
    """Raise InputError unless a query can carry `text`."""
    if not _fits(text):
        raise InputError(f"text: {_text_problem(text)}.", hint="Say it in fewer words.")


def _query_problem(query: Query) -> str | None:
    sizes = {len(code) for code in query.codes}
    checks: list[tuple[bool, Callable[[], str]]] = [
        (
            1 <= len(query.codes) <= MAX_CODES,
            lambda: f"expected 1 to {MAX_CODES} codes, got {len(query.codes)}",
        ),
        (
            len(sizes) == 1 and sizes <= set(CODE_SIZES),
            lambda: f"expected codes of one size out of {CODE_SIZES} bytes, got {sorted(sizes)}",
        ),
        (
            sum(map(len, query.codes)) <= MAX_CODES_BYTES,
            lambda: f"expected at most {MAX_CODES_BYTES} bytes of codes, got {sum(map(len, query.codes))}",
        ),
        (1 <= query.k <= MAX_K, lambda: f"expected k in 1..{MAX_K}, got {query.k}"),
        (
            1 <= query.deadline_ms <= MAX_DEADLINE_MS,
            lambda: f"expected deadline_ms in 1..{MAX_DEADLINE_MS}, got {query.deadline_ms}",
        ),
        (
            len(query.pairing_id) == PAIRING_BYTES,
            lambda: f"expected a pairing id of {PAIRING_BYTES} bytes, got {len(query.pairing_id)}",
        ),
        (
            len(query.request_id) == REQUEST_ID_BYTES,
            lambda: f"expected a request id of {REQUEST_ID_BYTES} bytes, got {len(query.request_id)}",
        ),
        (
            len(query.gate_scores) in (0, len(query.codes)),
            lambda: f"expected one gate score a code or none, got {len(query.gate_scores)}",
        ),
        (
            len(query.sensitive_scores) in (0, len(query.codes)),
            lambda: f"expected one sensitive score a code or none, got {len(query.sensitive_scores)}",
        ),
        (
            _fits(query.text),
            lambda: _text_problem(query.text),
        ),
    ]
    return next((say() for holds, say in checks if not holds), None)


def _text_problem(text: str) -> str:
    return f"expected text of at most {MAX_TEXT_BYTES} bytes of UTF-8, got {text[:40]!r}"


def _fits(text: str) -> bool:
    try:
        return len(text.encode()) <= MAX_TEXT_BYTES
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def _unpack_where(fields: Mapping[Any, Any]) -> Where:
    wanted = _under(fields, 8, dict, {}, FILTER_PROTOCOL, "a filter")
    _each(list(wanted.values()), list)
    return Where.of(wanted)


def _unpack_map(data: bytes, cap: int, what: str, protocols: tuple[int, ...]) -> dict[Any, Any]:
    if len(data) > cap:
        raise BodyTooLarge(f"{what}: expected at most {cap} bytes, got {len(data)}.")
    try:
        fields = msgpack.unpackb(data, strict_map_key=False)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise BodyMalformed(f"{what}: expected one msgpack map, got bytes that end or break ({error}).") from error
    if not isinstance(fields, dict):
        raise BodyMalformed(f"{what}: expected a msgpack map, got {type(fields).__name__}.")
    if fields.get(0) not in protocols:
        *others, last = map(str, protocols)
        spoken = f"{', '.join(others)} or {last}" if others else last
        raise ProtocolUnknown(f"{what}: expected protocol {spoken}, got {fields.get(0)!r:.80}.")
    return fields


_MISSING: Any = object()


def _typed(fields: Mapping[Any, Any], key: int, kind: type[Any], default: Any = _MISSING) -> Any:
    value = fields[key] if default is _MISSING else fields.get(key, default)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BodyMalformed(f"key {key}: expected {kind.__name__}, got {type(value).__name__}.")
    return value


def _under(fields: Mapping[Any, Any], key: int, kind: type[Any], default: Any, protocol: int, what: str) -> Any:
    """Return an optional field that only bodies of at least `protocol` may have."""
    value = _typed(fields, key, kind, default)
    if value and fields[0] < protocol:
        raise BodyMalformed(f"key {key}: expected protocol {protocol} with {what}, got {fields[0]}.")
    return value


def _each(values: list[Any], kind: type[Any]) -> list[Any]:
    for value in values:
        if not isinstance(value, kind):
            raise BodyMalformed(f"expected {kind.__name__}, got {type(value).__name__}.")
    return values


def _share(fields: Mapping[Any, Any], key: int) -> float | None:
    if key not in fields:
        return None
    value: float = _typed(fields, key, float)
    if not 0 <= value <= 1:
        raise BodyMalformed(f"key {key}: expected 0 to 1, got {value!r}.")
    return value


def _string_map(values: dict[Any, Any], kind: type[Any]) -> dict[str, Any]:
    _each(list(values), str)
    _each(list(values.values()), kind)
    return values


def _pack_match(match: Match) -> list[Any]:
    row = [match.id, float(match.score), match.code_index, dict(match.metadata), match.code]
    return [*row, float(match.bonus)] if match.bonus else row


def _unpack_match(row: Any) -> Match:
    # Longer rows come from newer services; what we do not know is left alone.
    if not isinstance(row, list) or len(row) < 5:
        raise BodyMalformed("match: expected [id, score, code index, metadata, code].")
    item_id, score, code_index, metadata, code = row[:5]
    if not isinstance(item_id, str) or not isinstance(code_index, int) or not isinstance(metadata, dict):
        raise BodyMalformed("match: expected a string id, an integer code index and a metadata map.")
    if not isinstance(score, float) or not math.isfinite(score) or not isinstance(code, bytes | None):
        raise BodyMalformed("match: expected a finite score and code bytes or nil.")
    bonus = row[5] if len(row) > 5 and isinstance(row[5], float) and math.isfinite(row[5]) else 0.0
    return Match(item_id, score, metadata, code_index, code, bonus)
