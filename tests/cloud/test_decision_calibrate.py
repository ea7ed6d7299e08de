"""An operator's own photographs: observed by the device, asked of the catalogue, and the service decides by them."""

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.tiny_bundle import jpeg, picture

from sightline_cloud.engine import Engine
from sightline_cloud.operate.calibrate import POOL, nearest
from sightline_cloud.rank.confidence import decision_folder, read_decision
from sightline_cloud.settings_file import read_settings
from sightline_shared.bundle import open_bundle, write_bundle
from sightline_shared.cli import main
from sightline_shared.confidence import Calibration, Logistic, Model
from sightline_shared.evidence import Evidence
from sightline_shared.manifest import FileEntry

ITEMS, STRANGERS = 40, 25
# Far too sure of itself, whatever it sees.
SURE = Calibration((Model(Logistic({"gate": 1.0}, 6.0), Logistic({"cosine": 9.0}, -1.0), 0.5, 0.0),), {}, "a test")

Run = Callable[..., tuple[int, dict]]


@pytest.fixture(scope="module")
def shop(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle that has a decision file, a catalogue, and photographs with their manifest."""
    root = tmp_path_factory.mktemp("shop")
    plain = open_bundle(tiny_folder)
    files = {**plain.files, "decision.json": SURE.to_bytes()}
    manifest = dataclasses.replace(
        plain.manifest,
        roles={**plain.manifest.roles, "decision": "decision.json"},
        files={name: FileEntry.of(data) for name, data in files.items()},
    )
    bundle = write_bundle(root / "bundle", manifest, files)
    engine = Engine(read_settings(root / "data"), bundle)
    for number in range(ITEMS):
        engine.ingest.add_one("default", f"item/{number}", jpeg(picture(number)), {"category": f"kind {number // 4}"})
    engine.ingest.add_one("other", "item/x", jpeg(picture(5000)), {})
    engine.close()
    rows = [{"path": f"q{n}.jpg", "item": f"item/{n}", "category": f"kind {n // 4}"} for n in range(ITEMS)]
    rows += [{"path": f"q{n}.jpg", "item": "", "category": ""} for n in range(900, 900 + STRANGERS)]
    for row in rows:
        number = int(row["path"][1:-4])
        (root / row["path"]).write_bytes(jpeg(picture(number, view=3)))
    with open(root / "manifest.csv", "w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return root


@pytest.fixture
def run(shop: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command with the shop's bundle and returns its exit status and JSON."""

    def call(*words: str) -> tuple[int, dict]:
        status = main([*words, "--bundle", str(shop / "bundle"), "--json"])
        return status, json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def asked(run: Run, shop: Path, tmp_path: Path) -> Path:
    status, result = run("decision", "observe", str(shop / "manifest.csv"), "--out", str(tmp_path / "asked.csv"))
    assert status == 0 and result["photographs"] == result["sent"] == ITEMS + STRANGERS
    return tmp_path / "asked.csv"


def calibrate(run: Run, shop: Path, asked: Path, *more: str) -> tuple[int, dict]:
    return run("decision", "calibrate", "--queries", str(asked), "--data", str(shop / "data"), *more)


def changed(asked: Path, change: Callable[[list[dict[str, str]]], object]) -> Path:
    with open(asked, newline="") as file:
        rows = list(csv.DictReader(file))
    change(rows)
    with open(asked, "w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return asked


@pytest.mark.parametrize("match", ["item", "category"])
def test_the_catalogues_own_photographs_correct_what_the_bundle_says(
    run: Run, shop: Path, asked: Path, match: str
) -> None:
    status, result = calibrate(run, shop, asked, "--match", match)
    assert status == 0 and (result["known"], result["other"]) == (ITEMS, STRANGERS)
    assert result["first_right"] > 0.9
    bundle = open_bundle(shop / "bundle")
    path = decision_folder(shop / "data", bundle) / "default.json"
    assert result["file"] == str(path)
    fitted = read_decision(path).models[0]
    # A stranger's best cosine, of which the bundle was sure.
    stranger = Evidence(0.3, 0.5)
    assert SURE.models[0].probability(stranger, "") > 0.8 > 0.3 > fitted.probability(stranger, "")
    assert fitted.probability(Evidence(0.95, 0.9), "") > 0.6 and 0 < fitted.not_found_below <= fitted.found_min


def test_the_file_judges_its_tenants_answers_and_nobody_elses(run: Run, shop: Path, asked: Path) -> None:
    assert calibrate(run, shop, asked)[0] == 0
    engine = Engine(read_settings(shop / "data"), open_bundle(shop / "bundle"))
    try:
        own = engine.primary.confidences.of("default").judge(Evidence(0.3, 0.5))
        others = engine.primary.confidences.of("other").judge(Evidence(0.3, 0.5))
    finally:
        engine.close()
    assert (own.probability or 1) < 0.3 and (others.probability or 0) > 0.8


def test_the_nearest_are_those_of_a_sorted_list(shop: Path) -> None:
    engine = Engine(read_settings(shop / "data"), open_bundle(shop / "bundle"))
    try:
        live = engine.primary
        rng = np.random.default_rng(0)
        vectors = rng.standard_normal((300, live.codec.dim)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        shares: list[float] = []
        pks, cosines = nearest(engine, live, "default", vectors, shares.append)
        with engine.store.feed(live.key).snapshot("default") as snapshot:
            chunks = list(snapshot.chunks)
    finally:
        engine.close()
    own = {
        int(pk): vector.astype(np.float32) for rows in chunks for pk, vector in zip(rows.pks, rows.vectors, strict=True)
    }
    assert pks.shape == (300, min(ITEMS, POOL)) and shares[-1] == 1
    for row in (0, 255, 256, 299):
        expected = sorted(own, key=lambda pk: -float(vectors[row] @ own[pk]))
        assert pks[row].tolist() == expected
        assert cosines[row] == pytest.approx([float(vectors[row] @ own[pk]) for pk in expected], abs=1e-5)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda rows: [row.pop("gate_score") for row in rows], "gate_score"),
        (lambda rows: rows[3].update(code="zz"), "line 5"),
        (lambda rows: rows[3].update(code="00"), "line 5: expected a code of 64 bytes"),
        (lambda rows: rows[3].update(gate_score="nan"), "line 5"),
        (lambda rows: rows[3].update(gate_score="1e9"), "line 5"),
        (lambda rows: rows[3].update(item="item/none"), "item/none"),
        (lambda rows: [row.update(code="") for row in rows], "with a code, got 0"),
        (lambda rows: [row.update(item="") for row in rows[15:]], "20 or more"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_by_name_and_nothing_is_written(
    run: Run, shop: Path, asked: Path, change: Callable[[list[dict[str, str]]], object], named: str
) -> None:
    path = decision_folder(shop / "data", open_bundle(shop / "bundle")) / "default.json"
    path.unlink(missing_ok=True)
    status, result = calibrate(run, shop, changed(asked, change))
    assert status == 1 and named in result["error"]["message"]
    assert not path.exists()


def test_a_bundle_with_thresholds_alone_says_so(shop: Path, asked: Path, tiny_folder: Path, capsys) -> None:
    words = ["decision", "calibrate", "--queries", str(asked), "--data", str(shop / "data"), "--json"]
    assert main([*words, "--bundle", str(tiny_folder)]) == 1
    assert "decision file" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_what_the_device_cannot_read_or_would_not_send_has_no_code(run: Run, shop: Path, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    Image.new("RGB", (300, 300), (128, 128, 128)).save(tmp_path / "flat.jpg")
    (tmp_path / "good.jpg").write_bytes((shop / "q1.jpg").read_bytes())
    (tmp_path / "m.csv").write_text("path,item,code\nbroken.jpg,a,old\nflat.jpg,b,old\ngood.jpg,c,old\n")
    status, result = run("decision", "observe", str(tmp_path / "m.csv"), "--out", str(tmp_path / "out.csv"))
    assert status == 1 and (result["photographs"], result["sent"], result["stopped"]) == (3, 1, 1)
    assert [problem["path"] for problem in result["problems"]] == ["broken.jpg"]
    with open(tmp_path / "out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [len(row["code"]) for row in rows] == [0, 0, 128] and [row["item"] for row in rows] == ["a", "b", "c"]
    for text in ("item\na\n", "path\n", ""):
        (tmp_path / "m.csv").write_text(text)
        status, result = run("decision", "observe", str(tmp_path / "m.csv"), "--out", str(tmp_path / "out.csv"))
        assert status == 1 and result["error"]["code"] == "E_MANIFEST_INVALID"
