"""One table of a TOML file, read key by key: what is missing, of another kind or unknown is named with file and key."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from sightline_shared.errors import ConfigInvalid

MAX_TEXT_CHARS = 1000
MAX_ENTRIES = 500
KINDS: dict[type, str] = {str: "a text", list: "a list", dict: "a table"}

Kind = TypeVar("Kind")


class Section:
    """Reads `fields`; `at` is the table's own dotted name, "" for the whole file. Every reader raises ConfigInvalid."""

    def __init__(self, fields: Mapping[str, Any], file: str, at: str = "") -> None:
        self._fields, self._file, self._at = dict(fields), file, at

    def __contains__(self, key: str) -> bool:
        return key in self._fields

    @property
    def keys(self) -> list[str]:
        """The keys that nobody has read yet."""
        return list(self._fields)

    def text(self, key: str, *, most: int = MAX_TEXT_CHARS) -> str:
        """Return a text of 1 to `most` characters."""
        value = self._typed(key, str)
        if not 1 <= len(value.strip()) <= most:
            self.refuse(key, f"a text of 1 to {most} characters", value)
        return value.strip()

    def texts(self, key: str, *, most: int = MAX_ENTRIES, longest: int = 200) -> tuple[str, ...]:
        """Return a list of at most `most` different texts of 1 to `longest` characters."""
        values = self._typed(key, list)
        fits = all(isinstance(each, str) and 1 <= len(each.strip()) <= longest for each in values)
        if len(values) > most or not fits or len(set(values)) < len(values):
            self.refuse(key, f"at most {most} different texts of 1 to {longest} characters", values)
        return tuple(each.strip() for each in values)

    def number(self, key: str, low: float, high: float) -> float:
        value = self._take(key)
        # Not a truth value, which Python counts among the integers; nan fails the comparison.
        if type(value) not in (int, float) or not low <= value <= high:
            self.refuse(key, f"a number from {low:g} to {high:g}", value)
        return float(value)

    def integer(self, key: str, low: int, high: int) -> int:
        value = self._take(key)
        if type(value) is not int or not low <= value <= high:
            self.refuse(key, f"an integer from {low} to {high}", value)
        return value

    def date(self, key: str) -> datetime.date:
        value = self._take(key)
        if type(value) is not datetime.date:
            self.refuse(key, "a date such as 2026-01-31, without quotes", value)
        return value

    def choice(self, key: str, choices: Sequence[Kind]) -> Kind:
        value = self._take(key)
        found = next((each for each in choices if type(each) is type(value) and each == value), None)
        if found is None:
            self.refuse(key, f"one of {', '.join(map(repr, choices))}", value)
        return found

    def section(self, key: str) -> Section:
        return Section(self._typed(key, dict), self._file, self._name(key))

    def sections(self, key: str, *, most: int) -> Iterator[Section]:
        """Yield the tables of an array of 1 to `most` tables."""
        values = self._typed(key, list)
        if not 1 <= len(values) <= most or not all(isinstance(each, dict) for each in values):
            self.refuse(key, f"1 to {most} tables", values)
        for number, each in enumerate(values):
            yield Section(each, self._file, f"{self._name(key)}[{number}]")

    def close(self) -> None:
        """Refuse what is left: a key that nobody knows may be a misspelt one."""
        if self._fields:
            self.refuse(next(iter(self._fields)), "no such key", next(iter(self._fields.values())))

    def refuse(self, key: str, expected: str, got: object) -> NoReturn:
        """Raise ConfigInvalid that names the file and the key."""
        raise ConfigInvalid(f"{self._file}: {self._name(key)}: expected {expected}, got {got!r:.80}.")

    def _typed(self, key: str, kind: type[Kind]) -> Kind:
        value = self._take(key)
        if not isinstance(value, kind):
            self.refuse(key, KINDS[kind], value)
        return value

    def _take(self, key: str) -> Any:
        if key not in self._fields:
            raise ConfigInvalid(f"{self._file}: {self._name(key)}: expected this key, got none.")
        return self._fields.pop(key)

    def _name(self, key: str) -> str:
        return f"{self._at}.{key}" if self._at else key
