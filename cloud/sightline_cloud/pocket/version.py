"""What a device says it has: all that the service needs to know of it to send what it lacks."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import msgpack

from sightline_shared.pocket_file import Identity

_FORM = re.compile(r"([0-9a-f]{16})\.([0-9]{1,19})\.([0-9]{1,19})\.([0-9a-f]{32})")


@dataclass(frozen=True)
class Version:
    """A state of a tenant's head, as the text that devices keep and send back.

    `lineage` names everything but the items that decides what is in the head, `seq` the change up to which it was read.
    Of the items that are not on the operator's list, all with a pk of `floor` or more were looked at. `digest` is of the rows.
    """

    lineage: str
    seq: int
    floor: int
    digest: str

    def __str__(self) -> str:
        return f"{self.lineage}.{self.seq}.{self.floor}.{self.digest}"

    @classmethod
    def of(cls, text: str) -> Version | None:
        """Return the version that `text` names, None for any other text."""
        found = _FORM.fullmatch(text)
        if not found or max(int(found[2]), int(found[3])) >= 2**63:
            return None
        return cls(found[1], int(found[2]), int(found[3]), found[4])


def lineage_of(identity: Identity, listed: tuple[str, ...]) -> str:
    """Return a name for whose items these are and which of them the operator wants first."""
    parts = [identity.pairing_id, identity.catalogue, identity.tenant, identity.filter_keys, listed]
    return hashlib.sha256(msgpack.packb(parts)).hexdigest()[:16]
