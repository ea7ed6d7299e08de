"""A study trains each variant once, keeps what is known, and tells mean and spread of repeats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sightline_export.study import Variant, read_study, table
from sightline_shared.cli import main
from sightline_shared.errors import RecipeInvalid

RECIPE = """
name = "drawn"
weights = "{weights}"
[[source]]
name = "mine"
folder = "photos"
val_share = 0.25
[teacher]
backbones = ["efficientnet_lite0"]
epochs = 1
mixed_views = 6
[[teacher.member]]
name = "first"
size = 64
frozen_blocks = 14
images = 8
[student]
size = 64
dimension = 64
frozen_blocks = 14
[training]
images = 8
batch = 8
shares = [1.0]
workers = 0
[batches]
mixed_views = 0.25
[bars]
smallest_training_set = 16
"""
STUDY = """
[[variant]]
name = "one"
group = "seeds"
[[variant]]
name = "two"
group = "seeds"
set = ["seed = 2", "teacher.member = []"]
"""


def test_a_study_compares_variants_and_goes_on_where_it_was(
    tmp_path: Path,
    random_weights: Path,
    write_folder: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_folder(tmp_path / "photos", views=8)
    (tmp_path / "drawn.toml").write_text(RECIPE.format(weights=random_weights))
    (tmp_path / "study.toml").write_text(STUDY)
    words = ["export", "study", str(tmp_path / "drawn.toml"), str(tmp_path / "study.toml")]
    words += ["--out", str(tmp_path / "out"), "--quiet", "--json"]
    assert main(words) == 0, capsys.readouterr().err
    result = json.loads(capsys.readouterr().out)
    assert set(result["variants"]) == {"one", "two"}
    columns = result["variants"]["one"]["columns"]
    assert set(columns) == {"student", "teacher gallery", "teacher", "frozen"}
    assert columns["student"]["mine.fine.R@1"]["n"] > 0
    assert "**seeds**, mean" in result["table"]
    assert (tmp_path / "out" / "one" / "members" / "first" / "training" / "checkpoint.pt").is_file()
    assert not (tmp_path / "out" / "two" / "members").exists()

    stamp = (tmp_path / "out" / "one" / "result.json").stat().st_mtime_ns
    assert main(words) == 0
    assert (tmp_path / "out" / "one" / "result.json").stat().st_mtime_ns == stamp


def test_the_table_gives_mean_and_standard_deviation_of_repeats() -> None:
    def result(value: float) -> dict[str, object]:
        return {"group": "g", "training_s": 1.0, "columns": {"student": {"shop.fine.R@1": {"value": value}}}}

    text = table({"a": result(0.70), "b": result(0.74)})
    assert "| a | 70.0 | 1 |" in text
    assert "72.0 ± 2.8" in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[[variant]]\n",
        "variant = 3\n",
        '[[variant]]\nname = "a"\n[[variant]]\nname = "a"\n',
        '[[variant]]\nname = "../a"\n',
    ],
)
def test_a_study_that_cannot_be_meant_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(RecipeInvalid, match=r"s\.toml"):
        read_study(tmp_path / "s.toml")


def test_the_studies_that_ship_are_good() -> None:
    folder = Path(__file__).parents[2] / "export" / "recipes"
    assert Variant("seed-2", "seeds", ("seed = 2",)) in read_study(folder / "seeds.toml")
    assert len(read_study(folder / "ablation.toml")) > 8
    (left_out,) = read_study(folder / "leave-out.toml")
    # An earlier student that saw every class must not teach the one that is judged on classes left out.
    assert "teacher.member = []" in left_out.settings
