"""WordPiece, as BERT's uncased models were trained with it: a text into the numbers of its word pieces.

The rules are those of BERT's BasicTokenizer and WordpieceTokenizer (Devlin et al., 2018): what nobody sees goes, case and
accents go, words part at white space and at punctuation, each Chinese character is a word, and of a word the longest piece
that the vocabulary has comes first. Forty lines of it need no tokenizer package in the service.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from sightline_shared.errors import BundleCorrupt

UNKNOWN, FIRST, LAST = "[UNK]", "[CLS]", "[SEP]"
MAX_VOCABULARY = 200_000
# A longer word is unknown as a whole: nobody's word, and looking for its pieces would take time by the square.
MAX_WORD_CHARS = 100
_CHINESE = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


class WordPiece:
    """One vocabulary; safe between threads."""

    def __init__(self, pieces: Sequence[str]) -> None:
        """`pieces` in the order of their numbers; raises BundleCorrupt without the special ones, or for too many."""
        self._numbers = {piece: number for number, piece in enumerate(pieces)}
        missing = [piece for piece in (UNKNOWN, FIRST, LAST) if piece not in self._numbers]
        if missing or len(pieces) > MAX_VOCABULARY:
            raise BundleCorrupt(
                f"vocabulary: expected at most {MAX_VOCABULARY} pieces with {UNKNOWN}, {FIRST} and {LAST}, "
                f"got {len(pieces)}{' without ' + ', '.join(missing) if missing else ''}."
            )

    @classmethod
    def from_bytes(cls, data: bytes) -> WordPiece:
        """Read a vocabulary file, one piece a line; raises BundleCorrupt."""
        try:
            return cls(data.decode().removesuffix("\n").split("\n"))
        except UnicodeDecodeError as error:
            raise BundleCorrupt(f"vocabulary: expected UTF-8, got '{error}'.") from error

    def __len__(self) -> int:
        return len(self._numbers)

    def numbers(self, text: str, at_most: int) -> list[int]:
        """Return the text's pieces between the two that mark first and last, at most `at_most` numbers in all."""
        found: list[int] = []
        for word in words(text):
            if len(found) >= at_most - 2:
                break
            found += self._pieces(word)
        return [self._numbers[FIRST], *found[: at_most - 2], self._numbers[LAST]]

    def _pieces(self, word: str) -> list[int]:
        if len(word) > MAX_WORD_CHARS:
            return [self._numbers[UNKNOWN]]
        found, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                number = self._numbers.get(("##" if start else "") + word[start:end])
                if number is not None:
                    break
            else:
                return [self._numbers[UNKNOWN]]
            found.append(number)
            start = end
        return found


def words(text: str) -> Iterator[str]:
    """Yield the words of a text in lower case, without accents; punctuation marks and Chinese characters are words."""
    kept = []
    for char in unicodedata.normalize("NFD", "".join(map(_seen, text)).lower()):
        if unicodedata.category(char) != "Mn":
            kept.append(f" {char} " if _apart(char) else char)
    yield from "".join(kept).split()


def _seen(char: str) -> str:
    """Return the character, a space for white space, nothing for what nobody sees."""
    if char in " \t\n\r":
        return " "
    kind = unicodedata.category(char)
    if char in "\0\ufffd" or kind in ("Cc", "Cf", "Co", "Cs"):
        return ""
    return " " if kind == "Zs" else char


def _apart(char: str) -> bool:
    number = ord(char)
    # Marks of ASCII that Unicode calls symbols ("$", "^") are punctuation here.
    marks = 33 <= number <= 47 or 58 <= number <= 64 or 91 <= number <= 96 or 123 <= number <= 126
    return (
        marks or unicodedata.category(char).startswith("P") or any(first <= number <= last for first, last in _CHINESE)
    )
