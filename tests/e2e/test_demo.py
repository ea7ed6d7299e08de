"""The demo, with the bundle that ships: what a newcomer sees on the first day."""

import json
import re
from pathlib import Path

import pytest

from sightline_bench.samples import make_items, phone_view
from sightline_shared.cli import main


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory):
    """One run of `sightline demo --json` and its report."""
    out = tmp_path_factory.mktemp("demo") / "report"
    from contextlib import redirect_stdout
    from io import StringIO

    with redirect_stdout(StringIO()) as said:
        assert main(["demo", "--json", "--out", str(out)]) == 0
    return json.loads(said.getvalue()), (out / "index.html").read_text()


def test_it_shows_the_five_cases(demo) -> None:
    good, different, stranger, blurred, down = demo[0]["questions"]
    assert good["outcome"] == "found" and good["true_item_rank"] == 1
    assert different["outcome"] in ("found", "unsure") and different["true_item_rank"] == 1
    assert (stranger["outcome"], stranger["decided_by"]) == ("not_found", "device")
    assert (blurred["outcome"], blurred["reasons"]) == ("retake", ["hold still"])
    assert down["error"]["code"] == "E_SERVICE_UNREACHABLE"


def test_what_it_sends_is_what_we_claim(demo) -> None:
    for question in demo[0]["questions"][:4]:
        sent = question["bytes"]["body_up"]
        assert sent == 0 if question["decided_by"] == "device" else 64 < sent <= 128
        if sent:
            assert len(bytes.fromhex(question["code"])) == 64
            assert {"embed", "round_trip", "cloud.search"} <= set(question["stages_ms"])


def test_with_a_pocket_index_it_answers_at_once_then_by_the_service_and_alone_when_that_is_gone(demo) -> None:
    pocket = demo[0]["pocket"]
    at_once, then, alone = pocket["questions"]
    assert pocket["items"] == demo[0]["catalogue"]["items"] and 64 * pocket["items"] < pocket["bytes"] < 20_000
    assert [each["decided_by"] for each in (at_once, then, alone)] == ["pocket", "cloud", "pocket"]
    assert [each["final"] for each in (at_once, then, alone)] == [False, True, True]
    assert [each["true_item_rank"] for each in (at_once, then, alone)] == [1, 1, 1]
    assert (at_once["bytes"]["body_up"], at_once["trouble"]) == (0, None) and then["bytes"]["body_up"] > 64
    assert alone["trouble"] == "E_SERVICE_UNREACHABLE" and "round_trip" not in at_once["stages_ms"]


def test_retrieval_in_the_demo_is_good_and_not_trivial(demo) -> None:
    trial = demo[0]["trial"]
    assert trial["n"] == 48 and trial["first"]["value"] >= 0.6 and trial["among_five"]["value"] >= 0.75
    strangers = trial["strangers"]
    refused = strangers.get("not_found on the device", 0) + strangers.get("not_found in the cloud", 0)
    assert sum(strangers.values()) == trial["strangers_n"] == 24 and refused >= 18


def test_the_report_is_one_file_with_its_pictures(demo) -> None:
    page = demo[1]
    assert page.count("data:image/jpeg;base64,") >= 10
    assert not re.search(r"(src|href)=[\"']?(https?:|//|/)", page)
    for title in ("at once, from the pocket index", "then, the service&#39;s answer", "the pocket index alone"):
        assert page.count(title) == 1
    assert "The query is on its way to the service meanwhile." in page and "(E_SERVICE_UNREACHABLE)" in page
    assert "not private" in page and "no mobile network in it" in page


def test_own_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = tmp_path / "mine"
    photos.mkdir()
    for i, item in enumerate(make_items(24, seed=77)):
        phone_view(item, i, size_px=(360, 480), difficulty=0.3).save(photos / f"<b>{i}.jpg")
    (photos / "broken.jpg").write_bytes(b"x")
    assert main(["demo", "--json", "--photos", str(photos), "--out", str(tmp_path / "out")]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["catalogue"]["items"] == 24 and len(result["catalogue"]["problems"]) == 1
    assert result["questions"][0]["true_item_rank"] == 1
    assert result["questions"][3]["outcome"] == "retake"
    assert "<b>" not in (tmp_path / "out" / "index.html").read_text()


def test_a_folder_without_pictures_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--json", "--photos", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "E_INPUT"
