"""Generations: which spaces of vectors the catalogue holds. Several stand side by side for the same items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, func, insert, select, update

from sightline_cloud.catalog.schema import GENERATIONS, vectors_name, vectors_table
from sightline_shared.bundle import Bundle
from sightline_shared.errors import VersionMismatch

MAX_GENERATIONS = 64


@dataclass(frozen=True)
class Generation:
    """The vectors of one model and codec, named by the pairing id (hex) of their bundle.

    `dim` numbers a vector, `code_size` bytes a code; `label` is for people.
    """

    pairing_id: str
    label: str
    dim: int
    code_size: int

    @classmethod
    def of(cls, bundle: Bundle) -> Generation:
        """Return the generation that a bundle makes."""
        return cls(bundle.pairing.id.hex(), bundle.label, bundle.codec.dim, bundle.codec.code_size)


@dataclass(frozen=True)
class Registered(Generation):
    """A generation that the catalogue knows, under its own `number`."""

    number: int

    @property
    def table(self) -> str:
        """The name of its table of vectors."""
        return vectors_name(self.number)


@dataclass(frozen=True)
class Coverage(Generation):
    """How much of the catalogue a generation can find: `items` have a vector, `missing` do not."""

    items: int
    missing: int


def registered(connection: Connection) -> list[Registered]:
    """Return every generation of the catalogue, oldest first."""
    columns = (GENERATIONS.c[name] for name in ("pairing_id", "label", "dim", "code_size", "number"))
    rows = connection.execute(select(*columns).order_by(GENERATIONS.c.number)).all()
    return [Registered(*row) for row in rows]


def register(connection: Connection, generations: Sequence[Generation]) -> None:
    """Make the catalogue know `generations`; call in a writing transaction. Raises VersionMismatch."""
    known = {generation.pairing_id: generation for generation in registered(connection)}
    for wanted in generations:
        found = known.get(wanted.pairing_id)
        if found is None:
            _add(connection, wanted)
        elif (found.dim, found.code_size) != (wanted.dim, wanted.code_size):
            raise VersionMismatch(
                f"bundle {wanted.label}: expected vectors of {found.dim} numbers and codes of {found.code_size} bytes, "
                f"as the catalogue has for pairing id {wanted.pairing_id}, got {wanted.dim} and {wanted.code_size}.",
                hint="Start with the bundle that made the catalogue.",
            )
        elif found.label != wanted.label:
            same = GENERATIONS.c.pairing_id == wanted.pairing_id
            connection.execute(update(GENERATIONS).where(same).values(label=wanted.label))


def _add(connection: Connection, wanted: Generation) -> None:
    number = connection.execute(select(func.coalesce(func.max(GENERATIONS.c.number), 0) + 1)).scalar_one()
    if number > MAX_GENERATIONS:
        raise VersionMismatch(
            f"bundle {wanted.label}: expected at most {MAX_GENERATIONS} generations in a catalogue, got one more.",
            hint="Index the photographs into a new data folder.",
        )
    row = {name: getattr(wanted, name) for name in ("pairing_id", "label", "dim", "code_size")}
    created = datetime.now(UTC).isoformat(timespec="seconds")
    connection.execute(insert(GENERATIONS).values(number=number, created=created, **row))
    vectors_table(number).create(connection, checkfirst=False)
