"""Parity: every artefact against the float student, the slow way; what misses a bar does not ship."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from support.small_bundle import SIZE, small_file
from support.tiny_bundle import embed, picture

from sightline_export import artefacts
from sightline_export.artefacts import Artefact
from sightline_export.parity import Comparison, Trial, check_artefacts, compare, misses
from sightline_export.recipe import Bars
from sightline_shared.errors import GoldenMismatch
from sightline_shared.preprocess import to_tensor

KINDS = ("fp32", "static", "dynamic", "weights")


def tensors(first: int, count: int) -> np.ndarray:
    return np.stack([to_tensor(picture(first + seed), SIZE) for seed in range(count)])


def sign_of_first(vectors: np.ndarray) -> list[str]:
    return ["go" if row[0] > 0.02 else "stop" if row[0] < -0.02 else "unsure" for row in vectors]


@pytest.fixture(scope="module")
def trial() -> Trial:
    pixels, gallery = tensors(40_000, 60), tensors(50_000, 80)
    model = small_file("onnx")
    return Trial(pixels, embed(model, pixels), embed(model, gallery), "drawn pictures", {"gate": sign_of_first})


@pytest.fixture(scope="module")
def found(trial: Trial) -> dict[str, Comparison]:
    made = [artefacts.from_onnx("onnx", small_file("onnx"))]
    made += [artefacts.from_tflite(f"tflite-{kind}", small_file(kind)) for kind in KINDS]
    return {comparison.artefact.name: comparison for comparison in compare(made, trial)}


def test_every_figure_is_that_of_the_slow_formula(found: dict[str, Comparison], trial: Trial) -> None:
    artefact = found["tflite-static"].artefact
    got = artefact.embed(trial.pixels)
    cosines, shared, same = [], [], []
    for query, wanted in zip(got, trial.reference, strict=True):
        length = float(np.sqrt((query.astype(np.float64) ** 2).sum()))
        cosines.append(float(query.astype(np.float64) @ wanted) / length)
        near = [set(np.argsort(-(trial.gallery @ v), kind="stable")[:10].tolist()) for v in (query, wanted)]
        shared.append(len(near[0] & near[1]) / 10)
        same.append(sign_of_first(query[None]) == sign_of_first(wanted[None]))
    figures = found["tflite-static"].figures()
    value = {key.removeprefix("parity.tflite-static."): figure.value for key, figure in figures.items()}
    assert value["cosine_mean"] == pytest.approx(np.mean(cosines), abs=1e-6)
    assert value["cosine_p1"] == pytest.approx(np.quantile(cosines, 0.01), abs=1e-6)
    assert value["cosine_min"] == pytest.approx(min(cosines), abs=1e-6)
    assert value["overlap@10"] == pytest.approx(np.mean(shared))
    assert value["gate_agreement"] == pytest.approx(np.mean(same))
    assert value["size_bytes"] == len(small_file("static"))
    low, high = figures["parity.tflite-static.cosine_p1"].interval or (0, 0)
    assert low <= value["cosine_p1"] <= high and figures["parity.tflite-static.cosine_mean"].n == 60


def test_float_artefacts_are_the_float_student_and_int8_ones_are_near(found: dict[str, Comparison]) -> None:
    for name in ("onnx", "tflite-fp32"):
        assert found[name].cosines.min() > 0.999999 and found[name].neighbours.value > 0.99
        assert found[name].decisions["gate"].value == 1
    for name in ("tflite-static", "tflite-dynamic", "tflite-weights"):
        assert 0.99 < found[name].mean < 0.99999


def test_the_time_is_the_devices_and_the_bare_runtimes_by_turns(found: dict[str, Comparison]) -> None:
    for name, comparison in found.items():
        figures = comparison.figures()
        assert figures[f"parity.{name}.one_thread_ms"].n == 60
        ratio = figures[f"parity.{name}.ratio_to_bare_runtime"].value
        assert comparison.device_ms is not None and comparison.bare_ms is not None
        assert ratio == comparison.device_ms.value / comparison.bare_ms.value
        assert 0.3 < ratio < 5  # the small network takes tenths of a millisecond


def test_an_artefact_without_a_bare_runtime_has_no_time_and_keeps_its_note(trial: Trial) -> None:
    model = small_file("onnx")
    still = Artefact("program", 7, lambda pixels: embed(model, pixels), note="not run on Core ML")
    (comparison,) = compare([still], trial)
    figures = comparison.figures()
    assert not [key for key in figures if "ms" in key or "ratio" in key]
    assert figures["parity.program.cosine_mean"].data == "drawn pictures (not run on Core ML)"


def sabotaged(model: bytes) -> bytes:
    """The same file with one convolution's weights shuffled."""
    proto = onnx.load_from_string(model)
    (name,) = [
        node.input[1]
        for node in proto.graph.node
        if node.op_type == "Conv" and {a.name: a.i for a in node.attribute}.get("group") == 16
    ]
    (tensor,) = [tensor for tensor in proto.graph.initializer if tensor.name == name]
    weights = numpy_helper.to_array(tensor)
    shuffled = np.random.default_rng(0).permutation(weights.ravel()).reshape(weights.shape)
    tensor.CopyFrom(numpy_helper.from_array(shuffled, name))
    return proto.SerializeToString()


def test_a_file_with_one_layer_shuffled_is_refused_with_figure_and_bar(trial: Trial) -> None:
    made = [
        artefacts.from_onnx("onnx-fp32", small_file("onnx")),
        artefacts.from_onnx("bad", sabotaged(small_file("onnx"))),
    ]
    comparisons = compare(made, trial)
    check_artefacts(comparisons[:1], Bars())
    with pytest.raises(
        GoldenMismatch, match=r"artefact bad .*expected a mean cosine of 0\.99 or more, got 0\."
    ) as caught:
        check_artefacts(comparisons, Bars())
    assert "top-10 overlap of 0.95" in caught.value.message and "[bars]" in caught.value.hint


def test_an_artefact_that_does_not_ship_is_measured_and_not_refused(trial: Trial) -> None:
    (comparison,) = compare([artefacts.from_onnx("bad", sabotaged(small_file("onnx")), shipped=False)], trial)
    assert misses(comparison, Bars())
    check_artefacts([comparison], Bars())


def test_right_directions_of_wrong_length_are_refused(trial: Trial) -> None:
    model = small_file("onnx")
    (comparison,) = compare([Artefact("loud", 1, lambda pixels: 1.4 * embed(model, pixels))], trial)
    assert comparison.mean > 0.9999
    with pytest.raises(GoldenMismatch, match=r"expected lengths within 0\.01 of 1, got one off by 0\.400"):
        check_artefacts([comparison], Bars())


@pytest.mark.parametrize(
    ("bars", "words"),
    [
        (Bars(artefact_cosine_mean=0.99999), "a mean cosine of 0.99999"),
        (Bars(artefact_cosine_p1=0.99999), "a 1st percentile of 0.99999"),
        (Bars(artefact_overlap=1.01), "a top-10 overlap of 1.01"),
    ],
)
def test_each_bar_is_held(found: dict[str, Comparison], bars: Bars, words: str) -> None:
    assert [words in line for line in misses(found["tflite-static"], bars)].count(True) == 1


def test_numbers_that_are_none_are_refused(trial: Trial) -> None:
    model = small_file("onnx")
    nothing = Artefact("nan", 1, lambda pixels: embed(model, pixels) * np.float32("nan"))
    (comparison,) = compare([nothing], trial)
    assert len(misses(comparison, Bars())) >= 3
