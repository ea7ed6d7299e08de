"""`sightline policy check` and `show`: what a reviewer sees, and when the check fails."""

import datetime
import json
from pathlib import Path

import pytest
from support.policies import policy, write_policy
from support.tiny_bundle import make_tiny_bundle

from sightline_cloud.bundles import find_bundles
from sightline_cloud.policy.check import check
from sightline_cloud.policy.read import shipped_policy
from sightline_shared.bundle import Bundle
from sightline_shared.cli import main

TODAY = datetime.date(2026, 6, 1)
KEYS = ("category", "source")


@pytest.fixture
def sightline(tiny_folder: Path, capsys):
    """Runs one command with the tiny bundle and returns its exit status and JSON."""

    def run(*words: str, bundle: Path = tiny_folder):
        last = ["--bundle", str(bundle)] if words[1] == "check" else []
        status = main([*words, *last, "--json"])
        return status, json.loads(capsys.readouterr().out)

    return run


def data_with_source_kept(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "settings.toml").write_text('filter_keys = ["category", "source"]')
    return folder


def test_a_policy_that_can_be_carried_out_passes(sightline, tmp_path: Path) -> None:
    data = data_with_source_kept(tmp_path)
    path = write_policy(data)
    status, got = sightline("policy", "check", "--data", str(data))
    assert (status, got["ok"], got["problems"], got["source"]) == (0, True, [], str(path))
    assert (got["version"], got["owner"]) == (policy().version, "The reviewers")
    assert got["classes"][0] == {"name": "medical", "head_kinds": ["rash"], "terms": 4}
    assert got["bundles"] == [
        {"label": "tiny 1", "head_kinds": ["rash"], "threshold": 0.5, "threshold_on_codes": 0.5, "missed_at_most": 0.01}
    ]
    assert sightline("policy", "check", str(path), "--data", str(data))[1] == got


def test_an_overdue_review_fails_the_check(sightline, tmp_path: Path) -> None:
    data = data_with_source_kept(tmp_path)
    write_policy(data, ("reviewed = 2026-01-01", "reviewed = 2020-01-01"), ("2099-01-01", "2020-02-01"))
    status, got = sightline("policy", "check", "--data", str(data))
    assert (status, got["problems"]) == (1, ["the review was due by 2020-02-01"])


def test_a_refused_file_fails_the_check_with_its_name_and_key(sightline, tmp_path: Path) -> None:
    path = write_policy(tmp_path, ("version = 7", "version = 7\nsecret = 1"))
    status, got = sightline("policy", "check", str(path))
    assert status == 1 and got["error"]["code"] == "E_CONFIG_INVALID"
    assert got["error"]["message"] == f"{path}: secret: expected no such key, got 1."


def test_a_bundle_that_would_be_answered_restricted_fails_the_check(sightline, tmp_path: Path) -> None:
    data = data_with_source_kept(tmp_path / "data")
    write_policy(data)
    make_tiny_bundle(tmp_path / "headless")
    status, got = sightline("policy", "check", "--data", str(data), bundle=tmp_path / "headless")
    assert status == 1
    assert got["problems"] == [
        "bundle tiny 1: expected a sensitive head, got none. Every query of it would be answered restricted"
    ]
    write_policy(data, ('without_head = "restricted"', 'without_head = "open"'))
    status, got = sightline("policy", "check", "--data", str(data), bundle=tmp_path / "headless")
    assert status == 0 and any("answered like any other" in note for note in got["notes"])


def test_sources_that_no_filter_can_tell_apart_are_a_problem(tiny: Bundle) -> None:
    assert check(policy(), [tiny], KEYS, TODAY)["ok"]
    got = check(policy(), [tiny], ("category",), TODAY)
    assert got["problems"] == ["no source can answer: 'source' is not among filter_keys in settings.toml"]


def test_a_kind_with_too_few_photographs_to_show_the_miss_rate_is_noted(tiny: Bundle) -> None:
    notes = check(policy(), [tiny], KEYS, TODAY)["notes"]
    assert notes == ["tiny 1: of rash alone the export shows no more than that at most 100.0% are missed"]


def test_the_shipped_policy_is_fit_for_the_shipped_bundle_on_the_day_of_its_review(sightline, tmp_path: Path) -> None:
    shipped = shipped_policy()
    got = check(shipped, find_bundles(()), ("category",), shipped.reviewed)
    assert got["ok"] and got["bundles"][0]["threshold_on_codes"] < got["bundles"][0]["threshold"]
    assert any("copy it to the data folder" in note for note in got["notes"])


def test_show_gives_every_word_of_the_policy_to_the_reviewer(sightline, tmp_path: Path, capsys) -> None:
    path = write_policy(tmp_path)
    status, got = sightline("policy", "show", str(path))
    assert (status, got["version"], got["reviewed"]) == (0, policy().version, "2026-01-01")
    assert got["classes"][1]["terms"] == {"en": ["gun"], "sv": ["gevär*"]}
    assert main(["policy", "show", str(path)]) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("Hautausschlag", "gevär*", "health.example", "Ask a doctor.", "Kein Rat."))
    assert main(["policy", "check", str(path), "--data", str(tmp_path)]) == 1
    assert "problem: no source can answer" in capsys.readouterr().out
