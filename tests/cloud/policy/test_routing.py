"""Routing: each signal by itself, one sensitive crop of several, and every way to fail, each of which restricts."""

import dataclasses
import json
import logging
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.policies import policy, write_policy
from support.tiny_bundle import DIM, tiny_heads

from sightline_cloud.logs import JsonFormatter
from sightline_cloud.policy import router as module
from sightline_cloud.policy.router import FAILED, OPEN, PolicyRouter
from sightline_shared.bundle import Bundle
from sightline_shared.heads import Heads

SUBJECT = np.eye(DIM, dtype=np.float32)[0]
HEADS = tiny_heads(SUBJECT)


def serving(bundle: Bundle, heads: Heads | bytes | None = HEADS, **metrics: object) -> SimpleNamespace:
    """A generation with these heads, or with these bytes for them."""
    manifest, files = bundle.manifest, dict(bundle.files)
    roles = {role: name for role, name in manifest.roles.items() if role != "heads"}
    if heads is not None:
        roles["heads"] = "heads.msgpack"
        files["heads.msgpack"] = heads if isinstance(heads, bytes) else heads.to_bytes()
    manifest = dataclasses.replace(manifest, roles=roles, metrics=metrics or manifest.metrics)
    return SimpleNamespace(bundle=Bundle(manifest, files, bundle.digest))


@pytest.fixture
def live(tiny: Bundle) -> SimpleNamespace:
    return serving(tiny)


def vectors(*cosines: float) -> np.ndarray:
    """Unit vectors at these cosines to the head's subject."""
    rows = np.zeros((len(cosines), DIM), np.float32)
    rows[:, 0] = cosines
    rows[:, 1] = np.sqrt(1 - np.square(cosines))
    return rows


def test_a_picture_unlike_the_subject_is_answered_like_a_product(live) -> None:
    assert PolicyRouter(policy()).route(live, vectors(0.1, -0.5), (), "in red") == OPEN


def test_a_picture_like_the_subject_is_sensitive_and_its_class_is_known(live) -> None:
    route = PolicyRouter(policy()).route(live, vectors(0.95))
    assert (route.restricted, route.certainty, route.classes) == (True, "sensitive", ("medical",))
    assert route.reasons == ("the picture looks like a sensitive subject",)


@pytest.mark.parametrize(
    ("cosine", "restricted", "certainty"),
    [(0.74, False, "open"), (0.76, True, "unsure"), (0.83, True, "unsure"), (0.86, True, "sensitive")],
)
def test_the_band_between_the_thresholds_is_unsure_and_restricted(live, cosine, restricted, certainty) -> None:
    route = PolicyRouter(policy()).route(live, vectors(cosine))
    assert (route.restricted, route.certainty) == (restricted, certainty)


def test_the_margin_on_codes_lowers_the_threshold_by_so_many_logits(live) -> None:
    # 30 logits a unit of cosine: a margin of 1.5 is 0.05 of it.
    lower = PolicyRouter(policy(("code_margin = 0.0", "code_margin = 1.5")))
    assert lower.route(live, vectors(0.71)).certainty == "unsure"
    assert lower.route(live, vectors(0.69)).certainty == "open"
    assert lower.route(live, vectors(0.84)).certainty == "unsure"


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_sensitive_crop_of_several_restricts_the_query(live, place: int) -> None:
    cosines = [0.0, 0.1, 0.2]
    cosines[place] = 0.9
    assert PolicyRouter(policy()).route(live, vectors(*cosines)).certainty == "sensitive"


@pytest.mark.parametrize(
    ("scores", "certainty"),
    [((0.1,), "unsure"), ((0.0, 0.99), "sensitive"), ((math.nan,), "unsure"), ((math.inf,), "sensitive")],
)
def test_a_device_that_sends_scores_has_found_the_subject_sensitive(live, scores, certainty) -> None:
    route = PolicyRouter(policy()).route(live, vectors(0.0), scores)
    assert (route.restricted, route.certainty) == (True, certainty)
    assert route.reasons == ("the device takes the picture for a sensitive subject",)


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("what is this SKIN  rash?", ("medical",)),
        ("Was sagt die Arztin dazu", ("medical",)),
        ("ett gammalt gevär", ("weapons",)),
        ("gun or antibiotics", ("medical", "weapons")),
    ],
)
def test_a_text_that_names_a_subject_is_sensitive_in_any_language(live, text: str, classes) -> None:
    route = PolicyRouter(policy()).route(live, vectors(0.0), (), text)
    assert (route.restricted, route.certainty, route.classes) == (True, "sensitive", classes)
    assert route.reasons == ("the text names a sensitive subject",)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=512))
def test_no_text_makes_the_routing_fail(live, text: str) -> None:
    router = PolicyRouter(policy())
    router.route(live, vectors(0.0), (), text)
    assert router.trouble == "" and router.stats()["failed"] == 0


def test_reasons_name_no_class_and_no_term(live) -> None:
    route = PolicyRouter(policy()).route(live, vectors(0.9), (0.9,), "skin rash, gun")
    said = " ".join(route.reasons)
    assert len(route.reasons) == 3
    assert not [word for word in ("rash", "gun", "medical", "weapon", "skin") if word in said]


def broken(heads: Heads, **changes: object) -> Heads:
    return dataclasses.replace(heads, sensitive=dataclasses.replace(heads.sensitive, **changes))


def fails(bundle: Bundle, what: str) -> tuple[PolicyRouter, SimpleNamespace, np.ndarray, str]:
    """A router, a generation and a query of which one is broken, and what the trouble says."""
    fine, good, codes = PolicyRouter(policy()), serving(bundle), vectors(0.0)
    return {
        "no policy": (PolicyRouter(None, "it is gone"), good, codes, "it is gone"),
        "no heads": (fine, serving(bundle, None), codes, "expected a sensitive head, got none"),
        "no sensitive head": (fine, serving(bundle, Heads(HEADS.semantic)), codes, "expected a sensitive head"),
        "damaged heads": (fine, serving(bundle, b"\x81\xa3"), codes, "heads file"),
        "heads of another width": (fine, serving(bundle, tiny_heads(np.ones(8, np.float32))), codes, ""),
        "unproven head": (fine, serving(bundle, other=1), codes, "misses at most 0.05 (upper bound), got 1"),
        "head that misses too much": (
            fine, serving(bundle, **{"sensitive.missed.all": {"interval": [0.0, 0.06]}}), codes, "got 0.06"),
        "figure that is none": (
            fine, serving(bundle, **{"sensitive.missed.all": {"interval": [0.0, -1]}}), codes, "got 1"),
        "codes that are not numbers": (fine, good, vectors(0.0) * np.nan, "expected finite scores"),
        "no codes": (fine, good, vectors(), "of 1 or more codes"),
    }[what]  # fmt: skip


@pytest.mark.parametrize(
    "what",
    [
        "no policy", "no heads", "no sensitive head", "damaged heads", "heads of another width", "unproven head",
        "head that misses too much", "figure that is none", "codes that are not numbers", "no codes",
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:invalid value")
def test_whatever_fails_restricts_and_says_why_to_operators_only(tiny, what: str, caplog) -> None:
    router, live, codes, said = fails(tiny, what)
    with caplog.at_level(logging.INFO, "sightline"):
        assert router.route(live, codes) == FAILED == router.route(live, codes)
    assert FAILED.restricted and FAILED.reasons == ("the policy could not be applied",)
    assert said in router.trouble and router.trouble
    assert [record.getMessage() for record in caplog.records] == ["policy_not_applied"]  # once, not once a query
    assert router.stats()["failed"] == 2 and router.stats()["open"] == 0


@pytest.mark.parametrize("where", ["usable_head", "seen_in_codes", "seen_by_device", "plain", "holds"])
def test_an_exception_anywhere_in_the_routing_restricts(live, monkeypatch, where: str) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(module, where, fail)
    router = PolicyRouter(policy())
    assert router.route(live, vectors(0.0), (), "red") == FAILED
    assert router.trouble == "tiny 1: RuntimeError('out of luck')"


def test_trouble_that_passes_is_forgotten(live, monkeypatch) -> None:
    router = PolicyRouter(policy())
    with monkeypatch.context() as patched:
        patched.setattr(module, "plain", lambda text: 1 / 0)
        router.route(live, vectors(0.0), (), "red")
    assert router.trouble
    assert router.route(live, vectors(0.0)) == OPEN and router.trouble == ""


def test_a_policy_may_let_a_bundle_without_a_head_through_but_never_a_broken_one(tiny) -> None:
    router = PolicyRouter(policy(('without_head = "restricted"', 'without_head = "open"')))
    assert router.route(serving(tiny, None), vectors(0.95)) == OPEN
    assert router.route(serving(tiny, None), vectors(0.0), (0.2,)).restricted
    assert router.route(serving(tiny, None), vectors(0.0), (), "gun").classes == ("weapons",)
    assert router.route(serving(tiny, b"?"), vectors(0.0)) == FAILED


def test_a_policy_that_asks_for_no_proof_takes_a_head_without_figures(tiny) -> None:
    router = PolicyRouter(policy(("miss_rate_upper = 0.05", "miss_rate_upper = 1")))
    assert router.route(serving(tiny, other=1), vectors(0.0)) == OPEN


def test_a_file_that_cannot_be_used_restricts_everything_from_the_start(tmp_path: Path, live, caplog) -> None:
    write_policy(tmp_path).write_text("format = 9")
    with caplog.at_level(logging.INFO, "sightline"):
        router = PolicyRouter.open(tmp_path)
    assert router.route(live, vectors(0.0)) == FAILED
    assert router.version == "none" and "format: expected one of 1, got 9" in router.trouble
    line = json.loads(JsonFormatter().format(caplog.records[0]))
    assert (line["event"], line["level"]) == ("policy_unusable", "error")
    assert line["effect"] == "every query is answered restricted"


def test_an_overdue_review_is_a_warning_and_the_policy_still_applies(tmp_path: Path, live, caplog) -> None:
    write_policy(tmp_path, ("reviewed = 2026-01-01", "reviewed = 2020-01-01"), ("2099-01-01", "2020-02-01"))
    with caplog.at_level(logging.INFO, "sightline"):
        router = PolicyRouter.open(tmp_path)
    line = json.loads(JsonFormatter().format(caplog.records[0]))
    assert (line["event"], line["level"], line["owner"]) == ("policy_overdue", "warning", "The reviewers")
    assert line["review_by"] == "2020-02-01"
    assert router.route(live, vectors(0.0)) == OPEN and router.stats()["overdue"] is True


def test_every_route_is_counted(live) -> None:
    router = PolicyRouter(policy())
    for cosine, times in ((0.0, 3), (0.8, 2), (0.95, 1)):
        for _ in range(times):
            router.route(live, vectors(cosine))
    stats = router.stats()
    assert [stats[name] for name in ("open", "unsure", "sensitive", "failed")] == [3, 2, 1, 0]
    assert stats["version"] == policy().version and stats["overdue"] is False
