"""The body of an upload: a msgpack map of an item's id, picture and metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgpack

from sightline_cloud.ingest.fields import MAX_METADATA_BYTES, item_problem
from sightline_shared import bounded
from sightline_shared.errors import BodyMalformed

# Every value of metadata takes a byte at least; the others are the fields, and such as are not known.
MAX_VALUES = MAX_METADATA_BYTES + 32


@dataclass(frozen=True)
class Upload:
    """An item as it came; what `image` holds is not known yet."""

    id: str
    image: bytes
    metadata: dict[str, Any]


def read_upload(body: bytes) -> Upload:
    """Return what `body` uploads; raises BodyMalformed. Fields that are not known are left out."""
    try:
        fields = bounded.unpack(body, MAX_VALUES)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        why = str(error) or type(error).__name__
        raise BodyMalformed(f"item: expected one msgpack map, got bytes that end or break ({why}).") from error
    if not isinstance(fields, dict):
        raise BodyMalformed(f"item: expected a msgpack map, got {type(fields).__name__}.")
    item_id, image, metadata = fields.get("id"), fields.get("image"), fields.get("metadata", {})
    if not isinstance(image, bytes):
        raise BodyMalformed(f"item: expected 'image' as bytes, got {type(image).__name__}.")
    check_item(item_id, metadata)
    return Upload(str(item_id), image, dict(metadata))


def check_item(item_id: Any, metadata: Any) -> None:
    """Raise BodyMalformed unless an item may have this id and this metadata."""
    problem = item_problem(item_id, metadata)
    if problem:
        raise BodyMalformed(f"item: {problem}.")
