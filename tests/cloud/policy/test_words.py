"""Finding words whatever their spelling, and the language that a header asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_cloud.policy.locales import FALLBACK, choose
from sightline_cloud.policy.read import shipped_policy
from sightline_cloud.policy.terms import holds, needle, plain


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("gun", "a GUN, please"),
        ("gun", "gun"),
        ("gun", "(gun)"),
        ("rösti", "RÖSTI"),
        ("läkare", "är det en lakare?"),
        ("lakare", "La\u0308kare"),
        ("straße", "STRASSE 5"),
        ("skin rash", "skin -- rash"),
        ("skin rash", "skin\u00a0\n rash"),
        ("skin rash", "sk\u00adin ra\u200bsh"),
        ("gun", "ＧＵＮ"),
        ("carte d'identité", "ma CARTE D’IDENTITE"),
        ("antibiotic*", "two antibiotics"),
        ("antibiotic*", "antibiotic"),
        ("skin lesion*", "Skin lesions"),
    ],
)
def test_a_term_is_found_whatever_its_case_accents_and_punctuation(term: str, text: str) -> None:
    assert holds(plain(text), [needle(term)])


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("gun", "begun"),
        ("gun", "gunpowder tea"),
        ("skin rash", "rash skin"),
        ("skin rash", "skinrash"),
        ("antibiotic*", "no probiotics"),
        ("gun", ""),
        ("gun", "\u0000"),
    ],
)
def test_a_term_is_not_found_inside_other_words(term: str, text: str) -> None:
    assert not holds(plain(text), [needle(term)])


@given(st.text(max_size=300))
def test_a_plain_text_is_single_spaced_and_plain_again(text: str) -> None:
    got = plain(text)
    assert got[0] == got[-1] == " " and "   " not in got
    assert plain(got) == got
    assert got.split() == [word for word in got.split() if word.isalnum()]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("is this rash contagious?", "medical"),
        ("Welche Nebenwirkungen hat das?", "medication"),
        ("mon médecin m'a prescrit", "medical"),
        ("¿es una pastilla para dormir?", "medication"),
        ("är det ett födelsemärke", "medical"),
        ("whose passport is it", "identity_documents"),
        ("eine Vorladung vom Gericht", "legal_documents"),
        ("une arme à feu", "weapons"),
        ("quiero acabar con mi vida", "self_harm"),
    ],
)
def test_the_shipped_terms_see_sensitive_questions_in_five_languages(text: str, named: str) -> None:
    assert named in [each.name for each in shipped_policy().classes if holds(plain(text), each.needles)]


@pytest.mark.parametrize(
    "text",
    [
        "this, in red", "the lactose-free one", "bigger", "with long sleeves", "without sugar", "a cheaper one",
        "dasselbe in blau", "laktosefrei", "mit Kapuze", "ohne Zucker", "als Geschenk", "ein Rezept dazu",
        "la même en vert", "sans gluten", "plus grand", "una camiseta roja", "sin azúcar", "la receta",
        "den röda", "utan socker", "ett recept", "pass för barn", "organic semi-skimmed milk, 1 l", "green apples",
    ],
)  # fmt: skip
def test_the_shipped_terms_leave_shop_questions_alone(text: str) -> None:
    assert not [each.name for each in shipped_policy().classes if holds(plain(text), each.needles)]


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("de", "de"),
        ("de-AT", "de"),
        ("DE_at", "de"),
        ("pt, fr;q=0.8, de;q=0.9", "de"),
        ("fr;q=0.5,en;q=0.5", "fr"),
        ("de;q=0, fr", "fr"),
        ("pt-BR,pt", "en"),
        ("*", "en"),
        ("", "en"),
        ("de;q=2", "en"),
        ("de;q=nan", "en"),
        ("de;level=1", "en"),
        (";;;,,,===", "en"),
        ("x" * 100_000 + ",de", "en"),
    ],
)
def test_the_language_is_the_one_ranked_highest_of_those_at_hand(wanted: str, chosen: str) -> None:
    assert choose(wanted, ("en", "de", "fr")) == chosen


@given(st.text(max_size=400))
def test_no_header_gets_a_language_that_is_not_there(wanted: str) -> None:
    assert choose(wanted, ("en", "de")) in ("de", FALLBACK)
