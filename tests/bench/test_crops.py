"""`sightline bench crops`: the scenes hold what they say, the figures are plain means, other saliencies are what they say."""

import argparse
import dataclasses
import json
from functools import partial

import numpy as np
import pytest
from PIL import Image
from support.tiny_bundle import picture

from sightline_bench.commands import crops as command
from sightline_bench.crops import measure
from sightline_bench.crops.contenders import CONTENDERS, grid, spectral_residual
from sightline_bench.crops.judged import Catalogue, judged
from sightline_bench.crops.measure import Asked, ask, ask_all, body_bytes
from sightline_bench.crops.pictures import write_sheet
from sightline_bench.crops.report import as_text, figures
from sightline_bench.crops.scenes import (
    FRAME,
    MIDDLE,
    Scene,
    Thing,
    crates,
    photograph_patch,
    rendered_place,
    scattered,
)
from sightline_bench.crops.sets import SceneSet, samples_set
from sightline_bench.quality.evaluate import open_bundle_of
from sightline_edge.device import Device
from sightline_edge.frame import Picture
from sightline_edge.pipeline import observe
from sightline_shared.budget import Budget
from sightline_shared.bundle import Bundle
from sightline_shared.confidence import Calibration, Logistic, Model
from sightline_shared.errors import InputError
from sightline_shared.evidence import Evidence
from sightline_shared.protocol import pack_query, unpack_query

COLOURS = {"red": (220, 20, 20), "green": (20, 220, 20), "blue": (20, 20, 220), "pink": (250, 90, 200)}
THINGS = [
    Thing(name, photograph_patch(Image.new("RGB", (64, 48), colour), soft=True)) for name, colour in COLOURS.items()
]


def share_of(image: Image.Image, colour: tuple[int, int, int]) -> float:
    return float((np.abs(np.asarray(image).astype(int) - colour).max(axis=2) < 12).mean())


@pytest.fixture(scope="module")
def device(tiny: Bundle) -> Device:
    """A device that is never sure of a frame, so that it always looks at the crops."""
    loaded = Device.load(tiny)
    return dataclasses.replace(loaded, gate=dataclasses.replace(loaded.gate, sure_above=2.0))


def black(rng: np.random.Generator) -> Image.Image:
    return Image.new("RGB", FRAME)


def test_a_scattered_scene_shows_exactly_the_things_that_it_names() -> None:
    for seed in range(12):
        scene = scattered(np.random.default_rng(seed), THINGS, 2, MIDDLE, black)
        assert scene.image.size == FRAME and 1 <= len(scene.labels) <= 2
        shown = {name for name, colour in COLOURS.items() if share_of(scene.image, colour) > 0.01}
        assert shown <= scene.labels  # a hand may hide one


def test_crates_fill_the_frame_with_four_labels() -> None:
    scene = crates(np.random.default_rng(1), [*THINGS, *THINGS])
    assert scene.labels == set(COLOURS)
    shares = [share_of(scene.image, colour) for colour in COLOURS.values()]
    assert min(shares) > 0.1 and sum(shares) > 0.85  # the soft corners show black


def test_strangers_have_no_label_and_scenes_come_again_by_their_number() -> None:
    strangers = [Thing("", thing.draw) for thing in THINGS]
    one, other = (scattered(np.random.default_rng(5), strangers, 3, MIDDLE, rendered_place) for _ in range(2))
    assert one.labels == frozenset() and one.image.tobytes() == other.image.tobytes()
    kinds = samples_set(2).kinds
    assert kinds["three things"][1]().image.tobytes() == kinds["three things"][1]().image.tobytes()
    assert not kinds["three strangers"][0]().labels and kinds["one small thing"][0]().labels


def test_an_answer_is_the_best_match_over_all_crops_that_were_sent(device: Device) -> None:
    frame = Image.new("RGB", (800, 400))
    frame.paste(picture(1, (400, 400)), (0, 0))
    frame.paste(picture(2, (400, 400)), (400, 0))
    gallery = [picture(seed, (400, 400)) for seed in (7, 2, 8)]
    vectors = np.stack([observe(image, device, Budget()).crops[0].embedding for image in gallery])
    catalogue = Catalogue(vectors, ("other", "two", "else"))
    scene = Scene(frame, frozenset(("two",)))
    seen = observe(frame, device, Budget(), crops=5)
    eager = dataclasses.replace(device, bundle=open_bundle_of(device.bundle))  # calls everything found
    verdict, labels = judged(seen.sent, eager, catalogue)
    codes = np.stack([np.frombuffer(crop.code, np.uint8) for crop in seen.sent])
    decoded = device.codec.decode(codes)
    decoded /= np.linalg.norm(decoded, axis=1, keepdims=True)
    best = (decoded @ vectors.T).max(axis=0)
    assert labels == tuple(np.array(catalogue.labels)[np.argsort(-best)])
    asked = ask(scene, eager, catalogue, crops=5)
    assert verdict.decision.label == "found" and verdict.probability is None
    assert (asked.outcome, asked.labels, asked.wanted) == ("found", labels, {"two"})
    assert asked.device_ms > 0 and asked.body_bytes == body_bytes(seen, device)


def test_a_probability_is_the_services_and_asked_again_without_what_the_scene_shows(device: Device) -> None:
    gallery = [picture(seed, (400, 400)) for seed in (7, 2, 8)]
    vectors = np.stack([observe(image, device, Budget()).crops[0].embedding for image in gallery])
    catalogue = Catalogue(vectors, ("other", "two", "else"), ("a", "b", "c"))
    logistic = Logistic({"cosine": 8.0}, -4.0)
    models = Calibration((Model(Logistic({}, 9.0), logistic, 0.5, 0.0),))
    asked = ask(Scene(gallery[1], frozenset(("two",))), dataclasses.replace(device, calibration=models), catalogue)
    seen = observe(gallery[1], device, Budget()).sent[0]
    decoded = device.codec.decode(np.frombuffer(seen.code, np.uint8)[np.newaxis])[0]
    cosines = vectors @ decoded / np.linalg.norm(decoded)
    belongs = Logistic({}, 9.0).chance(Evidence(0.0))
    expected = [belongs * logistic.chance(Evidence(float(one))) for one in (cosines[1], max(cosines[0], cosines[2]))]
    assert asked.right and [asked.probability, asked.near] == pytest.approx(expected, abs=1e-4)
    kept = catalogue.without(frozenset(("two", "else")))
    assert (kept.labels, kept.categories) == (["other"], ["a"]) and np.array_equal(kept.vectors, vectors[:1])


def test_body_bytes_are_those_of_a_query_with_every_sent_code(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[bytes] = []
    monkeypatch.setattr(measure, "pack_query", lambda query: packed.append(pack_query(query)) or packed[-1])
    seen = observe(picture(3, (640, 480)), device, Budget(), crops=3)
    assert body_bytes(seen, device) == len(packed[0])
    assert unpack_query(packed[0]).codes == tuple(crop.code for crop in seen.sent)
    nothing = observe(Image.new("RGB", (640, 480), "black"), device, Budget(), crops=3)
    assert body_bytes(nothing, device) == 0


def asked_(outcome: str, wanted: str, labels: str, size: int = 100) -> Asked:
    return Asked(outcome, frozenset(wanted), tuple(labels), size // 100, size, 5.0, 1.0)


def test_figures_are_means_and_gains_are_paired() -> None:
    alone = [asked_("found", "ab", "xa"), asked_("not_found on device", "c", "", 0), asked_("unsure", "d", "dx")]
    more = [asked_("found", "ab", "ab", 300), asked_("restricted", "c", "", 0), asked_("found", "d", "xxxxxd", 200)]
    kinds = figures({"frames": {"1": alone, "3": more, "5": more}})
    one, three = kinds["frames"]["1"], kinds["frames"]["3"]
    assert [one[name]["value"] for name in ("R@1", "R@5", "answered")] == [0.3333, 0.6667, 0.6667]
    assert [three[name]["value"] for name in ("R@1", "R@5", "restricted")] == [0.3333, 0.3333, 0.3333]
    name = "share of the things in the top 20"
    assert (one[name]["value"], three[name]["value"]) == (0.5, 0.6667)
    assert three["gain in R@1"]["value"] == 0 and three["gain in R@5"]["value"] == -0.3333
    assert three["gain in R@1"]["interval"][0] < 0 < three["gain in R@1"]["interval"][1]
    assert (three["body bytes median"], three["body bytes max"], one["body bytes max"]) == (250, 300, 100)
    strange = figures({"strangers": {"1": [asked_("unsure", "", "x")], "3": [asked_("found", "", "x")]}})["strangers"]
    assert (strange["1"]["found"]["value"], strange["3"]["gain in found"]["value"]) == (0, 1)


def test_calibration_weighs_answerable_questions_twice() -> None:
    believed = [
        dataclasses.replace(asked_("found", "a", "ab"), probability=0.95, right=True, near=0.45),
        dataclasses.replace(asked_("found", "a", "ba"), probability=0.95, right=False, near=0.15),
    ]
    refused = asked_("not_found on device", "a", "", 0)
    for asked in (believed, [*believed, refused]):
        row = figures({"frames": {"1": asked}})["frames"]["1"]
        # Bins of weight 4, 1 and 1: .95 against a half, .45 and .15 against none.
        assert row["calibration error"]["value"] == pytest.approx((4 * 0.45 + 0.45 + 0.15) / 6, abs=1e-4)
        assert (row["mean probability"], row["share right"]) == (0.7333, 0.3333) and row["calibration error"]["n"] == 4
        assert (row["found, right"]["value"], row["found, right"]["n"]) == (0.5, 2)
    assert "calibration error" not in figures({"frames": {"1": [asked_("found", "a", "a")]}})["frames"]["1"]


def test_the_whole_benchmark_on_a_small_set(device: Device) -> None:
    things = [Thing(str(seed), photograph_patch(picture(seed, (200, 200)), soft=False)) for seed in range(8)]
    scenes = SceneSet(
        source="a small set",
        gallery=[partial(picture, seed, (200, 200)) for seed in range(8)],
        labels=[str(seed) for seed in range(8)],
        kinds={
            "crates": [partial(lambda n: crates(np.random.default_rng(n), things), n) for n in (0, 2)],
            "strangers": [partial(lambda: Scene(picture(99, FRAME), frozenset()))],
        },
    )
    steps: list[int] = []
    # Sure of every proposed region of these two frames, and of neither frame as a whole.
    gate = dataclasses.replace(device.gate, sure_above=0.17)
    table = ask_all(scenes, dataclasses.replace(device, gate=gate), lambda: steps.append(1))
    assert len(steps) == 8 + 3 and set(table["crates"]) == {"1", "3", "5", *CONTENDERS}
    result = {
        "scenario": {"source": scenes.source},
        "bundle": {"label": "tiny"},
        "seconds": 1,
        "machine": {"cpu": "any", "load_1m": 0},
        "kinds": json.loads(json.dumps(figures(table))),
    }
    text = as_text(result)
    assert [result["kinds"]["crates"][way]["codes mean"] for way in ("1", "3", "5")] == [1, 3, 5]
    assert text.count("| crates | ") == 7 and text.count("| strangers | ") == 7 and "spectral residual" in text


def test_the_other_saliencies_see_what_stands_out() -> None:
    image = Image.new("RGB", FRAME, (90, 110, 100))
    image.paste(picture(3, (160, 160)), (400, 260))
    for name, propose in CONTENDERS.items():
        boxes = propose(Picture(image, FRAME), 4)
        assert len(boxes) >= 3 and all(box.right <= FRAME[0] and box.bottom <= FRAME[1] for box in boxes), name
        if propose is not grid:
            assert boxes[0].left < 480 < boxes[0].right and boxes[0].top < 340 < boxes[0].bottom, name


def test_the_spectral_residual_is_the_papers_formula() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    grey = np.asarray(image, np.float64).mean(axis=2)
    spectrum = np.fft.fft2(grey)
    level = np.log(np.abs(spectrum) + 1e-6)
    slow = np.empty_like(level)
    for y in range(48):
        for x in range(64):
            slow[y, x] = np.mean([level[(y + i) % 48, (x + j) % 64] for i in (-1, 0, 1) for j in (-1, 0, 1)])
    salient = np.abs(np.fft.ifft2(np.exp(level - slow + 1j * np.angle(spectrum)))) ** 2
    found = spectral_residual(image)
    assert (
        found.shape == (48, 64)
        and np.corrcoef(found[8:-8, 8:-8].ravel(), _twice(salient)[8:-8, 8:-8].ravel())[0, 1] > 0.99
    )


def _twice(values: np.ndarray) -> np.ndarray:
    for _ in range(2):
        padded = np.pad(values, 2, mode="edge")
        values = np.array(
            [[padded[y : y + 5, x : x + 5].mean() for x in range(values.shape[1])] for y in range(values.shape[0])]
        )
    return values


def test_the_sheet_is_a_picture_with_boxes(tmp_path) -> None:
    write_sheet(tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (1280, 720)
        assert share_of(sheet, (255, 0, 0)) > 0.0003


def test_a_number_of_scenes_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="--scenes"):
        command.run(argparse.Namespace(scenes=0, packs=None, bundle=None, sheet=None, out=None))
