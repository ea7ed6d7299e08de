"""The verdict: found, unsure or not found by the models in force, with a reason, a code, and a way back to thresholds."""

import dataclasses
import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sightline_cloud.rank.candidate import Candidate
from sightline_cloud.rank.categories import compatible
from sightline_cloud.rank.confidence import Confidence, Confidences, decision_folder, nothing_found
from sightline_cloud.rank.evidence import gather
from sightline_shared.bundle import Bundle
from sightline_shared.confidence import Calibration, Logistic, Model
from sightline_shared.errors import BundleCorrupt
from sightline_shared.evidence import Evidence
from sightline_shared.heads import Heads, Semantic
from sightline_shared.manifest import FileEntry
from sightline_shared.protocol import Decision

THRESHOLDS = {"not_found_max_score": 0.2, "found_min_score": 0.5}
MODEL = Model(
    Logistic({"gate": 20.0}, -9.0),
    Logistic({"cosine": 8.0, "compatibility": 2.0}, -6.0),
    found_min=0.5,
    not_found_below=0.05,
)
CALIBRATION = Calibration((MODEL,), {"Shoes": "clothing"}, "a test")
CONFIDENCE = Confidence(CALIBRATION, THRESHOLDS)
# Two directions, so that the head tells them apart: the first is "Shoes", the second "Milk".
HEADS = Heads(Semantic(("Shoes", "Milk"), np.array([[9, 0], [0, 9]], np.float32), np.zeros(2, np.float32)))
LIKE_SHOES, LIKE_MILK = np.array([1, 0], np.float32), np.array([0, 1], np.float32)


def candidate(pk: int, score: float, category: object = "Shoes", code_index: int = 0) -> Candidate:
    metadata = {} if category is None else {"category": category}
    return Candidate(pk, f"item-{pk}", score, code_index, metadata, b"")


@pytest.mark.parametrize(
    ("evidence", "decision", "code", "words"),
    [
        (Evidence(0.9, 0.7, compatibility=1.0, category="Shoes"), Decision.FOUND, None, None),
        (Evidence(0.5, 0.7, compatibility=1.0, category="Shoes"), Decision.UNSURE, "not_sure", "not close enough"),
        (Evidence(0.5, 0.7, compatibility=0.01, category="Shoes"), Decision.UNSURE, "not_sure", "looks like 'Shoes'"),
        (Evidence(0.3, 0.7, compatibility=1.0, category="Shoes"), Decision.UNSURE, "not_sure", "not close enough"),
        (
            Evidence(0.9, 0.2, compatibility=1.0, category="Shoes"),
            Decision.NOT_FOUND,
            "no_visual_match",
            "like nothing",
        ),
        (Evidence(0.1, 0.7, compatibility=0.0, category="Shoes"), Decision.NOT_FOUND, "no_visual_match", "looks like"),
    ],
)
def test_a_verdict_has_a_probability_and_says_why_not(
    evidence: Evidence, decision: Decision, code: str | None, words: str | None
) -> None:
    verdict = CONFIDENCE.judge(evidence)
    assert verdict.decision is decision and verdict.domain == "clothing"
    assert verdict.probability == MODEL.probability(evidence, "clothing")
    if code is None:
        assert verdict.reasons == ()
    else:
        (reason,) = verdict.reasons
        assert reason.startswith(f"{code}: ") and words in reason and f"{verdict.probability:.1%}" in reason


def test_closer_is_never_less_probable_and_never_a_worse_decision() -> None:
    order = [Decision.NOT_FOUND, Decision.UNSURE, Decision.FOUND]
    for gate in (0.3, 0.45, 0.6):
        verdicts = [CONFIDENCE.judge(Evidence(cosine, gate, compatibility=0.9)) for cosine in np.linspace(-1, 1, 81)]
        probabilities = [verdict.probability or 0.0 for verdict in verdicts]
        places = [order.index(verdict.decision) for verdict in verdicts]
        assert probabilities == sorted(probabilities) and places == sorted(places)


@pytest.mark.parametrize(
    ("cosine", "decision"), [(0.1, Decision.NOT_FOUND), (0.3, Decision.UNSURE), (0.5, Decision.FOUND)]
)
def test_without_a_calibration_that_can_answer_the_two_thresholds_do(cosine: float, decision: Decision) -> None:
    for judge in (Confidence(None, THRESHOLDS), CONFIDENCE):  # of the latter's model there is no gate score here
        verdict = judge.judge(Evidence(cosine))
        assert (verdict.decision, verdict.probability, verdict.domain) == (decision, None, "")
        assert all(reason.split(":")[0] in ("no_visual_match", "not_sure") for reason in verdict.reasons)


def test_an_empty_result_says_whether_a_filter_did_it() -> None:
    assert nothing_found(filtered=True).reasons == ("filter_passes_nothing: no item passes the filter",)
    assert nothing_found(filtered=False).reasons == ("catalogue_empty: the catalogue is empty",)
    assert nothing_found(filtered=False).decision is Decision.NOT_FOUND


def test_evidence_is_of_the_first_match_and_of_the_code_that_found_it() -> None:
    found = [
        candidate(4, 0.4, "Milk", 0),
        candidate(9, 0.8, "Milk", 1),
        candidate(3, 0.8, "Shoes", 1),
        candidate(7, 0.7, "Milk", 1),
        candidate(8, 0.79, "Milk", 0),
    ]
    vectors = np.stack([LIKE_MILK, LIKE_SHOES])
    evidence = gather(found[2], found, (0.2, 0.6), vectors, HEADS)
    assert (evidence.cosine, evidence.gate, evidence.category) == (0.8, 0.6, "Shoes")
    assert evidence.margin == 0 and evidence.agreement == 0  # 9 and 7 are milk, 8 is of the other code
    assert evidence.compatibility == 1
    assert gather(found[2], found[::-1], (0.2, 0.6), vectors, HEADS) == evidence
    overtaking = gather(
        found[3], found, (0.2, 0.6), vectors, HEADS
    )  # the ranking may put another first than the nearest
    assert overtaking.cosine == 0.7 and overtaking.margin == pytest.approx(-0.1) and overtaking.agreement == 0.5


@pytest.mark.parametrize("category", [None, "", 7, True, 1.5, ["Shoes"]])
def test_metadata_that_names_no_category_says_nothing(category: object) -> None:
    found = [candidate(1, 0.6, category), candidate(2, 0.5)]
    evidence = gather(found[0], found, (), LIKE_SHOES[np.newaxis], HEADS)
    assert (evidence.margin, evidence.agreement, evidence.compatibility, evidence.gate) == (None, None, None, None)
    assert compatible(category, np.array([0.9, 0.1], np.float32), HEADS.semantic.labels) == 1


def test_a_category_is_compatible_by_its_share_of_the_most_probable() -> None:
    probabilities = np.array([0.8, 0.2], np.float32)
    assert compatible("Shoes", probabilities, ("Shoes", "Milk")) == 1
    assert compatible("Milk", probabilities, ("Shoes", "Milk")) == pytest.approx(0.25)
    assert compatible("Garden", probabilities, ("Shoes", "Milk")) == 1


def test_a_bundle_without_a_head_still_has_the_cosine() -> None:
    found = [candidate(1, 0.6), candidate(2, 0.5, "Milk")]
    evidence = gather(found[0], found, (0.5,), LIKE_SHOES[np.newaxis], None)
    assert evidence.category == "" and evidence.compatibility is None
    assert evidence.margin == pytest.approx(0.1) and evidence.gate == 0.5


def with_decision(bundle: Bundle, data: bytes) -> Bundle:
    files = {**bundle.files, "decision.json": data}
    manifest = dataclasses.replace(
        bundle.manifest,
        roles={**bundle.manifest.roles, "decision": "decision.json"},
        files={name: FileEntry.of(content) for name, content in files.items()},
    )
    return Bundle(manifest, files, bundle.digest)


def test_a_bundle_from_before_decision_files_decides_by_its_thresholds(tiny: Bundle, tmp_path: Path) -> None:
    assert tiny.calibration is None
    verdict = Confidences(tiny, tmp_path).of("default").judge(Evidence(0.9, 0.9, 0.1, 0.5, 1.0))
    assert verdict.decision is Decision.FOUND and verdict.probability is None


def test_a_bundles_decision_file_decides_and_a_damaged_one_is_refused(tiny: Bundle, tmp_path: Path) -> None:
    judge = Confidences(with_decision(tiny, CALIBRATION.to_bytes()), tmp_path).of("default")
    assert judge.judge(Evidence(0.9, 0.2, compatibility=1.0)).decision is Decision.NOT_FOUND
    with pytest.raises(BundleCorrupt, match="decision file"):
        Confidences(with_decision(tiny, b"{}"), tmp_path)


def sure_of_everything() -> bytes:
    always = Logistic({}, 50.0)
    return Calibration((Model(always, always, 0.5, 0.0),), {}, "the operator's").to_bytes()


def test_the_operators_file_counts_for_its_tenant_from_the_next_query_on(tiny: Bundle, tmp_path: Path) -> None:
    confidences = Confidences(with_decision(tiny, CALIBRATION.to_bytes()), tmp_path)
    stranger = Evidence(0.1, 0.1, compatibility=0.0)
    assert confidences.of("shop-1").judge(stranger).decision is Decision.NOT_FOUND
    path = decision_folder(tmp_path, tiny) / "shop-1.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(sure_of_everything())
    assert confidences.of("shop-1").judge(stranger).decision is Decision.FOUND
    assert confidences.of("shop-2").judge(stranger).decision is Decision.NOT_FOUND
    path.unlink()
    assert confidences.of("shop-1").judge(stranger).decision is Decision.NOT_FOUND


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b"\x00" * 100),
        lambda path: path.write_bytes(b" " * (1 << 20)),
        lambda path: path.write_text(json.dumps({"format": 1, "models": [], "made_of": "", "domain_of": {}})),
        lambda path: path.write_text(sure_of_everything().decode().replace("50.0", "1e999")),
        lambda path: path.mkdir(),
    ],
)
def test_a_file_that_cannot_be_used_is_logged_once_and_the_bundle_decides(
    write: Callable[[Path], object], tiny: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    confidences = Confidences(with_decision(tiny, CALIBRATION.to_bytes()), tmp_path)
    path = decision_folder(tmp_path, tiny) / "shop-1.json"
    path.parent.mkdir(parents=True)
    write(path)
    with caplog.at_level(logging.ERROR, "sightline"):
        for _ in range(3):
            verdict = confidences.of("shop-1").judge(Evidence(0.1, 0.1, compatibility=0.0))
            assert verdict.decision is Decision.NOT_FOUND
    assert [record.message for record in caplog.records] == ["decision_file_refused"]
