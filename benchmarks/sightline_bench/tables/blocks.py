"""Blocks of a README that are written from results: from a line `<!-- table: NAME -->` to a line `<!-- end -->`."""

from __future__ import annotations

import re
from collections.abc import Callable

from sightline_shared.errors import InputError

BLOCK = re.compile(r"^(<!-- table: ([a-z0-9-]+) -->\n)(.*?)^(<!-- end -->)$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"^<!-- (?:table: .*|end) -->$", re.MULTILINE)


def named(text: str, file: str) -> dict[str, str]:
    """Return what stands in each block of `text` by its name; raises InputError where a mark has no counterpart."""
    found = [(match[2], match[3]) for match in BLOCK.finditer(text)]
    marks, nested = len(MARK.findall(text)), [name for name, body in found if MARK.search(body)]
    if nested or marks != 2 * len(found) or len(dict(found)) != len(found):
        raise InputError(
            f"{file}: expected blocks of a line '<!-- table: NAME -->' and a line '<!-- end -->', each name once, got {marks} "
            f"such lines for {len(dict(found))} names{', one block within ' + nested[0] if nested else ''}."
        )
    return dict(found)


def filled(text: str, table: Callable[[str], str]) -> str:
    """Return `text` with every block's body replaced by `table(name)`."""
    return BLOCK.sub(lambda match: f"{match[1]}{table(match[2])}\n{match[4]}", text)
