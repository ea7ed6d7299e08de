"""What the OpenAPI document says of an endpoint: the key it wants, what it answers, and every error that it may answer with.

Declared beside each endpoint with `described`, and held against what comes back by tests/cloud/test_openapi.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from sightline_shared.errors import (
    InputError,
    KeyMissing,
    KeyUnknown,
    RateLimited,
    ScopeMissing,
    ServiceFailed,
    SightlineError,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
)
from sightline_shared.protocol import MEDIA_TYPE

Schema = dict[str, Any]
SECURITY = "api_key"
# What a request may meet wherever a key is wanted.
KEYED = (KeyMissing, KeyUnknown, ScopeMissing, RateLimited, StoreError, StoreCorrupt, StoreUnavailable)

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
BINARY: Schema = {"type": "string", "format": "binary"}
SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}
METADATA: Schema = {"type": "object", "additionalProperties": SCALAR}
ITEM_ID: Schema = {
    "name": "item_id",
    "in": "path",
    "required": True,
    "description": "May hold slashes, escaped or as they are.",
    "schema": {"type": "string", "minLength": 1},
}
HEADERS: Schema = {
    "x-request-id": {"description": "The request's name in the service's log.", "required": True, "schema": TEXT}
}
OF_STATUS: dict[int, Schema] = {
    401: {"www-authenticate": {"description": "'Bearer'.", "required": True, "schema": TEXT}},
    429: {"retry-after": {"description": "Seconds.", "required": True, "schema": {"type": "integer", "minimum": 1}}},
    503: {"retry-after": {"description": "Seconds, where the service knows.", "schema": {"type": "integer"}}},
}


class Documented(FastAPI):
    """An app whose document says how a key is shown."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        schemes = {SECURITY: {"type": "http", "scheme": "bearer", "description": "'sightline key add' makes one."}}
        document.setdefault("components", {})["securitySchemes"] = schemes
        return document


def described(
    *errors: type[SightlineError],
    scopes: Sequence[str] = (),
    ok: Mapping[str, Schema | None] | None = None,
    body: tuple[str, str, Schema] | None = None,
    parameters: Sequence[Schema] = (),
    also: Mapping[str, Schema] | None = None,
) -> dict[str, Any]:
    """Return an endpoint's `openapi_extra`.

    `errors` are those beside the ones of every endpoint with a key, which has `scopes`; `ok`: media type and schema of
    a 200; `body`: media type, description and schema of the request's; `also`: answers of other statuses.
    """
    answers = {
        "200": _answer("Done.", ok or {}),
        **refusals(ServiceFailed, *errors, *(KEYED if scopes else ())),
        **(also or {}),
    }
    said: dict[str, Any] = {"responses": answers}
    if scopes:
        # OpenAPI has no scopes for plain keys: they stand in the description.
        said |= {
            "security": [{SECURITY: []}],
            "description": f"Wants a key that has {' and '.join(scopes)} among its scopes.",
        }
    if parameters:
        said["parameters"] = list(parameters)
    if body:
        media_type, description, schema = body
        content = {media_type: {"schema": schema}}
        said["requestBody"] = {"required": True, "description": description, "content": content}
    return said


def refusals(*errors: type[SightlineError]) -> dict[str, Schema]:
    """Return the answers that `errors` become, by status: the error tree's body, as JSON or as msgpack."""
    by_status: dict[int, list[str]] = defaultdict(list)
    for error in errors:
        by_status[error.http_status].append(error.code)
    if 404 in by_status:  # a path that no route takes, such as an id with a line break in it
        by_status[404].append(InputError.code)
    return {str(status): _refusal(status, sorted(codes)) for status, codes in sorted(by_status.items())}


def object_of(required: Mapping[str, Schema], **optional: Schema) -> Schema:
    """Return the schema of a map with these fields."""
    return {"type": "object", "required": list(required), "properties": {**required, **optional}}


def list_of(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def json_of(required: Mapping[str, Schema], **optional: Schema) -> dict[str, Schema | None]:
    """Return the content of a JSON answer with these fields."""
    return {"application/json": object_of(required, **optional)}


def _refusal(status: int, codes: Sequence[str]) -> Schema:
    schema = object_of({"code": {"enum": list(codes)}, "message": TEXT, "hint": TEXT, "request_id": TEXT})
    answer = _answer(
        f"{HTTPStatus(status).phrase}: {', '.join(codes)}.", {"application/json": schema, MEDIA_TYPE: schema}
    )
    headers: Schema = {**HEADERS, **OF_STATUS.get(status, {})}
    return {**answer, "headers": headers}


def _answer(description: str, content: Mapping[str, Schema | None]) -> Schema:
    answer: Schema = {"description": description, "headers": HEADERS}
    if content:
        answer["content"] = {media: {} if schema is None else {"schema": schema} for media, schema in content.items()}
    return answer
