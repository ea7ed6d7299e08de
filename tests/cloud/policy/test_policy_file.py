"""The policy file: what it may say, what is refused with file and key, and whose it is."""

import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.policies import POLICY, policy, write_policy

from sightline_cloud.policy.read import MAX_BYTES, find_policy, parse_policy, read_policy, shipped_policy
from sightline_shared.errors import ConfigInvalid


def test_everything_in_the_file_is_read() -> None:
    got = policy()
    assert (got.number, got.owner, got.reviewed) == (7, "The reviewers", datetime.date(2026, 1, 1))
    assert (got.head.miss_rate_upper, got.head.code_margin, got.head.without_head) == (0.05, 0.0, "restricted")
    assert got.allowed_sources == ("health.example", "law.example")
    assert [(each.name, each.head_kinds) for each in got.classes] == [("medical", ("rash",)), ("weapons", ())]
    assert got.classes[0].terms == {"en": ("skin rash", "antibiotic*"), "de": ("Hautausschlag", "Ärztin")}
    assert got.classes[1].nothing_found == {"en": "No answer.", "de": "Keine Antwort."}


def test_the_version_names_the_number_and_the_bytes() -> None:
    assert policy().version == f"7@{policy().digest[:8]}"
    assert policy(("The reviewers", "Others")).version != policy().version


def test_the_data_folders_file_goes_before_the_shipped_one_and_is_never_passed_over(tmp_path: Path) -> None:
    assert find_policy(tmp_path) == shipped_policy()
    path = write_policy(tmp_path)
    assert find_policy(tmp_path) == read_policy(path)
    path.write_text("format = 2")
    with pytest.raises(ConfigInvalid, match=r"policy\.toml: format: expected one of 1, got 2"):
        find_policy(tmp_path)
    path.unlink()
    path.symlink_to(tmp_path / "gone.toml")
    with pytest.raises(ConfigInvalid, match="No such file"):
        find_policy(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("format = 1", "", "format: expected this key, got none"),
        ("format = 1", "format = true", "format: expected one of 1, got True"),
        ("version = 7", "version = 0", "version: expected an integer from 1 to"),
        ("version = 7", "version = 1.5", "version: expected an integer"),
        ("version = 7", "version = 7\nsecret = 1", "secret: expected no such key"),
        ('owner = "The reviewers"', 'owner = " "', "owner: expected a text of 1 to"),
        ('owner = "The reviewers"', "owner = 3", "owner: expected a text, got 3"),
        ("reviewed = 2026-01-01", 'reviewed = "2026-01-01"', "reviewed: expected a date"),
        ("review_by = 2099-01-01", "review_by = 2025-01-01", "review_by: expected a day after 2026-01-01"),
        ("review_by = 2099-01-01", "review_by = 2099-01-01T00:00:00", "review_by: expected a date"),
        ('["health.example", "law.example"]', '"health.example"', "allowed_sources: expected a list"),
        ('["health.example", "law.example"]', '["a", "a"]', "allowed_sources: expected at most 32 different"),
        ('["health.example", "law.example"]', "[1]", "allowed_sources: expected at most 32 different texts"),
        ("miss_rate_upper = 0.05", "miss_rate_upper = nan", "head.miss_rate_upper: expected a number from 0 to 1"),
        ("miss_rate_upper = 0.05", "miss_rate_upper = true", "head.miss_rate_upper: expected a number"),
        ("code_margin = 0.0", "code_margin = -0.1", "head.code_margin: expected a number from 0 to 10"),
        ('"restricted"', '"ask"', "head.without_head: expected one of 'restricted', 'open', got 'ask'"),
        ('"restricted"', '"restricted"\nmiss_rate = 1', "head.miss_rate: expected no such key"),
        ('[disclaimers]\nen = "No advice."', "[disclaimers]", "disclaimers.en: expected a text in each of en"),
        ('en = "No answer."', "", "nothing_found.en: expected a text in each of de, en"),
        ('en = "No answer."', 'en = "No answer."\nfr = "Non."', "nothing_found.fr: expected a text in each of de, en"),
        ('en = "No answer."', 'EN = "No answer."', "nothing_found.EN: expected a language such as en"),
        ('de = "Fragen Sie in einer Praxis."', "", r"classes\[0\].nothing_found.de: expected a text in each of"),
        ('name = "weapons"', 'name = "medical"', "classes: expected a name each"),
        ('name = "weapons"', 'name = "The weapons"', r"classes\[1\].name: expected small letters"),
        ('head_kinds = ["rash"]', "head_kinds = [1]", r"classes\[0\].head_kinds: expected at most"),
        ('en = ["gun"]', 'en = ["?!"]', r"classes\[1\].terms.en: expected terms with a letter or digit, got '\?!'"),
        ('en = ["gun"]', f'en = ["{"a" * 65}"]', r"classes\[1\].terms.en: expected at most 500 different texts of 1 to 64"),
        ('[classes.terms]\nen = ["gun"]\nsv = ["gevär*"]', "", r"classes\[1\].head_kinds: expected kinds of the head, or"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_file_and_key(old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigInvalid, match=rf"^\[E_CONFIG_INVALID\] policy\.toml: {said}"):
        policy((old, new))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"format = ", "expected a TOML file"),
        (b"\xff", "expected a TOML file"),
        (b"a = " + b"[" * 5000, "expected a TOML file"),
        (POLICY.encode() + b"#" * MAX_BYTES, f"expected at most {MAX_BYTES} bytes"),
        (
            POLICY.replace("[classes", "[subjects").replace("[[classes", "[[subjects").encode(),
            "classes: expected this key",
        ),
        (b"format = 1\ndisclaimers = 3", "disclaimers: expected a table, got 3"),
    ],
)
def test_bytes_that_are_no_policy_are_refused(data: bytes, said: str) -> None:
    with pytest.raises(ConfigInvalid, match=f"^.E_CONFIG_INVALID. given: {said}"):
        parse_policy(data, "given")


@given(st.integers(0, len(POLICY.encode()) - 1), st.integers(0, 40), st.binary(max_size=40))
def test_a_damaged_file_is_a_policy_or_refused_as_one(start: int, length: int, patch: bytes) -> None:
    data = POLICY.encode()
    data = data[:start] + patch + data[start + length :]
    try:
        got = parse_policy(data, "given")
    except ConfigInvalid as error:
        assert error.message.startswith("given: ")
    else:
        assert got.classes and "en" in got.disclaimers and got.words("x", nothing_found=True)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=f"{tmp_path}: expected a policy file, got 'Is a directory'"):
        read_policy(tmp_path)


def test_a_review_is_overdue_from_the_day_after_it_was_due() -> None:
    due = policy().review_by
    assert not policy().overdue(due) and policy().overdue(due + datetime.timedelta(days=1))


def test_words_come_in_the_callers_language_and_a_classs_own_words_before_the_general_ones() -> None:
    got = policy()
    assert got.words("de-CH", nothing_found=False) == "Kein Rat."
    assert got.words("fr", nothing_found=False) == "No advice."
    assert got.words("de", ("medical",), nothing_found=True) == "Fragen Sie in einer Praxis. Kein Rat."
    assert got.words("en", ("weapons",), nothing_found=True) == "No answer. No advice."
    assert got.words("fr", (), nothing_found=True) == "No answer. No advice."
    assert got.words("de", ("unheard_of",), nothing_found=True) == "Keine Antwort. Kein Rat."


def test_the_shipped_policy_knows_five_languages_and_keeps_within_a_query_of_the_wire() -> None:
    shipped = shipped_policy()
    assert set(shipped.disclaimers) == {"en", "de", "fr", "es", "sv"}
    names = {each.name for each in shipped.classes}
    assert {"medical", "medication", "identity_documents", "legal_documents", "weapons"} <= names
    assert shipped.classes_of_kinds(("xray",)) == ("medical",)
    assert all(set(each.terms) == set(shipped.disclaimers) for each in shipped.classes)
    assert shipped.head.without_head == "restricted" and shipped.allowed_sources == ()
    assert shipped.owner and shipped.reviewed < shipped.review_by
