"""Words of a text in an item's own words."""

from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_cloud.fusion.words import MAX_CHARS, alike, item_text, word_shares

MILKS = ["Arla Milk", "Arla Lactose-free Milk", "Garant Milk"]


def test_the_item_that_has_the_words_gets_the_largest_share_and_the_others_less() -> None:
    shares = word_shares("the lactose-free one", MILKS)
    # Two words that one of three has, two that none has; log(1 + 3 / (1 + count)) each.
    assert shares == [0, pytest.approx(2 * log(2.5) / (2 * log(2.5) + 2 * log(4))), 0]


def test_a_word_that_all_have_tells_less_than_one_that_few_have() -> None:
    milk, garant = word_shares("milk lactose", MILKS)[0], word_shares("garant lactose", MILKS)[2]
    assert milk < garant


def test_a_text_about_something_else_moves_less_than_one_that_is_about_the_items() -> None:
    strange = word_shares("please deliver the milk tomorrow morning", MILKS)
    assert 0 < strange[0] < word_shares("milk", MILKS)[0]


def test_items_that_say_the_same_weigh_as_one() -> None:
    assert word_shares("lactose milk", [*MILKS, *[MILKS[0]] * 20])[:3] == word_shares("lactose milk", MILKS)


@pytest.mark.parametrize(
    ("one", "other"), [("apple", "apples"), ("blueberry", "blueberries"), ("orange", "orange"), ("rot", "rot")]
)
def test_words_with_other_endings_are_alike(one: str, other: str) -> None:
    assert alike(one, other) and alike(other, one)


@pytest.mark.parametrize(("one", "other"), [("pear", "peach"), ("orange", "organic"), ("red", "reds"), ("soy", "sour")])
def test_words_that_only_begin_alike_are_not(one: str, other: str) -> None:
    assert not alike(one, other) and not alike(other, one)


@given(st.text(max_size=80), st.lists(st.text(max_size=60), max_size=8))
def test_any_text_gives_a_share_between_0_and_1_for_every_item(text: str, items: list[str]) -> None:
    shares = word_shares(text, items)
    assert len(shares) == len(items) and all(0 <= share <= 1 for share in shares)


@given(
    st.lists(st.sampled_from(["red", "apple", "apples", "pear", "peach", "blueberry", "blueberries", "a"]), max_size=6),
    st.lists(
        st.lists(st.sampled_from(["red", "reds", "apples", "peach", "berry", "blueberry"]), max_size=4).map(" ".join),
        min_size=1,
        max_size=5,
    ),
)
def test_shares_are_what_the_slow_way_gives(said: list[str], items: list[str]) -> None:
    different = list(dict.fromkeys(items))
    wanted = [word for word in dict.fromkeys(said) if len(word) > 1]

    def has(item: str, word: str) -> bool:
        return any(alike(word, other) for other in item.split())

    weights = {word: log(1 + len(different) / (1 + sum(has(item, word) for item in different))) for word in wanted}
    whole = sum(weights.values()) or 1.0
    expected = [sum(weights[word] for word in wanted if has(item, word)) / whole for item in items]
    assert word_shares(" ".join(said), items) == pytest.approx(expected)


def test_of_a_text_of_very_many_words_the_first_count() -> None:
    many = " ".join(f"word{number}x" for number in range(200))
    assert word_shares(f"milk {many}", ["milk"])[0] == word_shares(f"milk {many[:400]}", ["milk"])[0] > 0
    assert word_shares(f"{many} milk", ["milk"]) == [0]


def test_an_items_text_has_the_keys_in_order_each_value_once_and_no_more_than_is_useful() -> None:
    metadata = {"title": "Milk", "category": "Milk", "brand": 7, "colour": None, "description": "fresh", "price": "9"}
    keys = ("title", "category", "brand", "colour", "description")
    assert item_text(metadata, keys) == "Milk. fresh"
    assert len(item_text({key: key + "x" * 10_000 for key in keys}, keys)) == MAX_CHARS
    assert item_text({}, keys) == ""
