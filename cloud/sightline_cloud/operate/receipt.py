"""Receipts of erasures, as people keep them: read from a file, and compared with what the catalogue keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sightline_cloud.catalog.erase import is_genuine
from sightline_cloud.engine import Engine
from sightline_shared.errors import InputError

MAX_RECEIPT_BYTES = 16 * 1024 * 1024


def read_receipt(path: Path) -> dict[str, Any]:
    """Return a receipt that 'sightline index erase --receipt' wrote, whoever may have changed it since; raises InputError."""
    try:
        if not path.is_file():
            raise ValueError("no file")
        with path.open("rb") as file:
            data = file.read(MAX_RECEIPT_BYTES + 1)
        if len(data) > MAX_RECEIPT_BYTES:
            raise ValueError(f"more than {MAX_RECEIPT_BYTES} bytes")
        receipt = json.loads(data)
        if not _is_receipt(receipt):
            raise ValueError("JSON of something else")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: expected a receipt, got {str(error) or type(error).__name__:.200}.",
            hint="Give the file that 'sightline index erase --receipt FILE' wrote.",
        ) from error
    found: dict[str, Any] = receipt
    return found


def check_receipt(engine: Engine, receipt: dict[str, Any]) -> dict[str, Any]:
    """Return whether a receipt is this catalogue's own and unchanged, and what it says."""
    genuine = is_genuine(engine.database, receipt)
    told = [] if genuine else ["the receipt is not of this catalogue, was changed, or its erasure is not finished"]
    content = receipt["content"]
    said = {key: content.get(key) for key in ("number", "tenant", "begun", "finished")}
    return {"ok": genuine, "problems": told, "receipt": {**said, "found": receipt["found"]}}


def _is_receipt(given: object) -> bool:
    if not isinstance(given, dict) or not isinstance(content := given.get("content"), dict):
        return False
    number, lists = content.get("number"), (given.get("found"), content.get("ids"))
    return (
        type(number) is int
        and 0 < number < 1 << 63
        and all(isinstance(texts, list) and all(isinstance(text, str) for text in texts) for texts in lists)
    )
