"""A recipe is read whole or refused with the place and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightline_export.recipe import Recipe, to_table
from sightline_export.recipe_file import load_recipe
from sightline_shared.errors import RecipeInvalid

GOOD = """
name = "shop"
[[source]]
name = "photos"
folder = "photos"
[training]
images = 128
learning_rate = 1
shares = [1.0, 0.5]
"""
SHIPPED = Path(__file__).parents[2] / "export" / "recipes" / "shipped.toml"


def load(folder: Path, text: str) -> Recipe:
    path = folder / "recipe.toml"
    path.write_text(text)
    return load_recipe(path)


def test_a_good_recipe_is_read(tmp_path: Path) -> None:
    recipe = load(tmp_path, GOOD)
    assert recipe.training.images == 128
    assert recipe.training.learning_rate == 1.0 and isinstance(recipe.training.learning_rate, float)
    assert recipe.training.shares == (1.0, 0.5)
    assert recipe.path(recipe.source[0].folder) == tmp_path / "photos"
    assert "base" not in to_table(recipe)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("colour = 1\n", "'colour'"),
        ("[training]\nepoch = 3\n", "'epoch'"),
        ("seed = 1.5\n", "seed: expected int"),
        ("[gate]\nfalse_reject = 5.0\n", "gate.false_reject: expected a share"),
        ("[codec]\nsubspaces = 600\n", "codec.subspaces: expected 1 to"),
        ("[heads]\nsensitive_shrinkages = []\n", "heads.sensitive_shrinkages: expected at least one"),
        ("[student]\nsize = 4\n", "student.size"),
        ("training = 3\n", "expected a table"),
        ("[teacher]\nbackbones = 'lite'\n", "expected a list"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, change: str, said: str) -> None:
    base = 'name = "shop"\nsource = [{name = "photos", folder = "photos"}]\n'
    with pytest.raises(RecipeInvalid) as caught:
        load(tmp_path, base + change)
    assert said in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "name = 'shop'\n",
        "source = []\nname = 'shop'\n",
        "name = 'shop'\n[[source]]\nname = 'a'\n",
        "name = 'shop'\n[[source]]\nname = 'a'\nfolder = 'x'\nmanifest = 'y'\n",
        "name = 'shop'\n[[source]]\nname = 'a'\nfolder = 'x'\n[[source]]\nname = 'a'\nfolder = 'y'\n",
        "name = 'shop'\n[[source]]\nname = 'a'\nfolder = 'x'\nkind = 'other'\n",
        "this is not TOML",
    ],
)
def test_incomplete_recipes_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(RecipeInvalid):
        load(tmp_path, text)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeInvalid, match="readable TOML"):
        load_recipe(tmp_path / "none.toml")


def test_variables_come_from_the_command_line_then_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recipe.toml").write_text(GOOD)
    monkeypatch.setenv("SIGHTLINE_PACKS", "/packs")
    recipe = load_recipe(tmp_path / "recipe.toml", {"MINE": "/mine"})
    assert recipe.path("${MINE}/x") == Path("/mine/x")
    assert recipe.path("${SIGHTLINE_PACKS}/x") == Path("/packs/x")
    with pytest.raises(RecipeInvalid, match="NOT_THERE"):
        recipe.path("${NOT_THERE}/x")


def test_the_shipped_recipe_is_good() -> None:
    recipe = load_recipe(SHIPPED)
    assert [source.kind for source in recipe.source].count("outside") == 1
    assert "Apache License 2.0" in recipe.notice


def test_a_setting_overrules_the_file(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(GOOD)
    recipe = load_recipe(path, settings=["training.images = 9", "loss.structure=0.5", "seed=3", 'version = "2"'])
    assert (recipe.training.images, recipe.loss.structure, recipe.seed, recipe.version) == (9, 0.5, 3, "2")
    assert recipe.training.shares == (1.0, 0.5)  # what is not named stays
    changed = load_recipe(path, settings=["source.photos.holdout_every = 4", "gate.prototypes = 9"])
    assert changed.source[0].holdout_every == 4 and changed.gate.prototypes == 9


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("training.images", "KEY=VALUE"),
        ("name = shop", "quotes"),
        ("a.b = 1", "'a'"),
        ("source.nobody.labels = false", "one key"),
        ("training.images.x = 1", "one key"),
        ("seed = 1\nname = 'x'", "one key"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(GOOD)
    with pytest.raises(RecipeInvalid) as caught:
        load_recipe(path, settings=[line])
    assert said in f"{caught.value.message} {caught.value.hint}"


def test_members_of_the_teacher_are_tables(tmp_path: Path) -> None:
    text = GOOD + '[[teacher.member]]\nname = "first"\nseed = 4\n'
    assert load(tmp_path, text).teacher.member[0].seed == 4
    with pytest.raises(RecipeInvalid, match="plain word"):
        load(tmp_path, GOOD + '[[teacher.member]]\nname = "../up"\n')
