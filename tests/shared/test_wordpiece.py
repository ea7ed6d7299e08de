"""WordPiece: BERT's own rules, and nothing that a hostile text can break."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_shared.errors import BundleCorrupt
from sightline_shared.wordpiece import MAX_WORD_CHARS, WordPiece, words

PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "un",
    "##aff",
    "##able",
    "##want",
    "##ed",
    "runn",
    "##ing",
    ",",
    "\u4e2d",
    "##a",
    "a",
]
PIECE = WordPiece(PIECES)
UNKNOWN = PIECES.index("[UNK]")


def named(text: str, at_most: int = 1000) -> list[str]:
    return [PIECES[number] for number in PIECE.numbers(text, at_most)]


def test_the_example_of_berts_own_tests() -> None:
    assert named("UNwant\u00e9d,running") == ["[CLS]", "un", "##want", "##ed", ",", "runn", "##ing", "[SEP]"]
    assert named("unaffable") == ["[CLS]", "un", "##aff", "##able", "[SEP]"]
    assert named("unaffableX") == ["[CLS]", "[UNK]", "[SEP]"], "a word is known as a whole or not at all"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("H\u00e9llo  W\u00d6RLD", ["hello", "world"]),
        ("lactose-free, 1.5%!", ["lactose", "-", "free", ",", "1", ".", "5", "%", "!"]),
        ("a\u4e2d\u56fdb", ["a", "\u4e2d", "\u56fd", "b"]),
        ("tab\tline\nend\r", ["tab", "line", "end"]),
        ("zero\u200bwidth\u00adhyphen", ["zerowidthhyphen"]),
        ("nul\x00bell\x07", ["nulbell"]),
        ("no\u00a0break\u3000wide", ["no", "break", "wide"]),
        ("$1^2", ["$", "1", "^", "2"]),
        ("\U0001f600\U0001f44d", ["\U0001f600\U0001f44d"]),
        (" \x01\u200b ", []),
        ("", []),
    ],
)
def test_words_are_parted_as_bert_does(text: str, expected: list[str]) -> None:
    assert list(words(text)) == expected


def test_a_very_long_word_is_unknown_and_takes_one_place() -> None:
    assert PIECE.numbers("a" * (MAX_WORD_CHARS + 1), 1000)[1:-1] == [UNKNOWN]
    assert PIECE.numbers("a" * MAX_WORD_CHARS, 1000)[1:-1] != [UNKNOWN]


def test_a_long_text_is_cut_and_keeps_both_marks() -> None:
    numbers = PIECE.numbers("a, " * 500, 10)
    assert len(numbers) == 10 and (numbers[0], numbers[-1]) == (PIECES.index("[CLS]"), PIECES.index("[SEP]"))


@given(st.text(max_size=200))
def test_any_text_gives_numbers_of_the_vocabulary(text: str) -> None:
    numbers = PIECE.numbers(text, 64)
    assert 2 <= len(numbers) <= 64 and all(0 <= number < len(PIECES) for number in numbers)


@given(st.text(max_size=60))
def test_words_have_no_capitals_accents_or_control_characters(text: str) -> None:
    for word in words(text):
        assert word == word.lower() and not any(unicodedata.category(char) in ("Mn", "Cc", "Cf") for char in word)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a\nb\n", b""])
def test_a_file_that_is_no_vocabulary_is_refused(data: bytes) -> None:
    with pytest.raises(BundleCorrupt, match="vocabulary"):
        WordPiece.from_bytes(data)
