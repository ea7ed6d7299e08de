"""`bench session` and `bench privacy`: their figures say what is known of made-up vectors, and the commands run."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.tiny_bundle import picture

from sightline_bench.device import clips, privacy, repeats, session
from sightline_bench.packs import Photo
from sightline_edge import Device
from sightline_edge.rerank import unit
from sightline_shared.cli import main
from sightline_shared.errors import InputError

DIM = 256


@pytest.fixture(scope="module")
def device(tiny) -> Device:
    return Device.load(tiny)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Photo, ...]:
    """Sixty photographs of ten products in two domains, brighter from one product to the next."""
    folder, found = tmp_path_factory.mktemp("photos"), []
    for number in range(60):
        product = number % 10
        path = folder / f"{number}.png"
        Image.fromarray(np.full((40, 40, 3), 20 + 20 * product, np.uint8)).save(path)
        domain = "grocery" if product < 5 else "clothing"
        found.append(Photo(path, "test", domain, f"c{product // 2}", f"f{product}", f"i{product}", ""))
    return tuple(found)


def vectors(photos, spread: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(5).normal(size=(10, DIM))
    rows = np.stack([centres[int(photo.fine[1:])] for photo in photos]) + spread * rng.normal(size=(len(photos), DIM))
    return unit(rows.astype(np.float32))


def test_expansion_is_measured_with_its_gain_and_its_harm(photos, device) -> None:
    # A noisy second photograph: the item that the first one found pulls it to the right place.
    queries, gallery = vectors(photos, 2.2, 1), vectors(photos, 0.3, 2)
    manifest = dataclasses.replace(device.bundle.manifest, decision={"not_found_max_score": -1, "found_min_score": -1})
    device = dataclasses.replace(device, bundle=dataclasses.replace(device.bundle, manifest=manifest))
    table = session.measure(photos, queries, photos, gallery, device, (-1.0, 1.0))
    always, never = table["-1"], table["1"]
    assert never["the same again"]["queries expanded"].value == 0 == never["another"]["difference"].value
    again, another = always["the same again"], always["another"]
    assert again["queries expanded"].value > 0.3
    assert again["expanded R@1"].value >= again["plain R@1"].value
    assert another["difference"].value <= 0 and again["plain R@1"].n == 60


def test_a_probe_reads_what_is_there_and_not_what_is_not(photos, device) -> None:
    train = privacy.Seen.of(photos, vectors(photos, 0.3, 1), device)
    test = privacy.Seen.of(photos, vectors(photos, 0.3, 2), device)
    found = privacy.measure(train, test)
    for name, row in found["classes"].items():
        assert row["float embedding"].value == 1.0 and row["64-byte code"].value >= 0.95, name
        assert row["the commonest guess"].value <= 0.5
    # The tiny codec's vectors hold the product, and by it the brightness; there is no colour and no contrast to read.
    assert found["numbers"]["brightness"]["float embedding"].value > 0.9
    noise = np.random.default_rng(3).normal(size=(60, DIM)).astype(np.float32)
    nothing = privacy.measure(privacy.Seen.of(photos, unit(noise), device), test)
    assert nothing["classes"]["fine category"]["float embedding"].value < 0.4


def test_linking_finds_the_photograph_and_the_product(photos, device) -> None:
    linked = privacy.linking(privacy.Seen.of(photos, vectors(photos, 0.3, 1), device))
    assert linked["a code and its photograph"]["nearest"].value > 0.9
    assert linked["two codes of one product"]["nearest"].value > 0.9
    assert linked["two codes of one product"]["chance"].value == pytest.approx(5 / 59)


def test_repeats_counts_hits_and_the_wrong_ones_among_them(device) -> None:
    rows = unit(np.random.default_rng(1).normal(size=(4, DIM)).astype(np.float32))
    # The same frame twice, one that is near and found another item, one that is near in its hash alone.
    embeddings = np.stack([rows[0], rows[0], unit((rows[0] + 0.05 * rows[1])[None])[0], rows[2]])
    clip = repeats.Clip("clip", embeddings, (b"a", b"a", b"b", b"c"), (0, 0, 1, 0), (7, 7, 8, 9))
    found = repeats.measure(clip, 4, 0.99)
    assert found["hits"].value == 0.5 and found["wrong hits"].value == 0.5
    exact = repeats.measure(clip, -1, 0.99)
    assert exact["hits"].value == 0.25 and exact["wrong hits"].value == 0


def test_a_clip_is_looked_at_as_the_device_does(device) -> None:
    frames = [np.asarray(picture(n)) for n in (1, 1, 2)]
    gallery = unit(np.random.default_rng(2).normal(size=(5, DIM)).astype(np.float32))
    clip = repeats.Clip.of("clip", frames, gallery, device)
    assert clip.codes[0] == clip.codes[1] != clip.codes[2] and clip.hashes[0] == clip.hashes[1]
    assert all(0 <= best < 5 for best in clip.best)


@pytest.mark.packs
def test_the_clips_of_the_packs_are_read(packs: Path) -> None:
    (clip,) = (packs / "shopfloor" / "video").glob("bolt*.mp4")
    frames = list(clips.frames(clip, every=10))
    assert len(frames) == 4 and frames[0].shape == (180, 320, 3) and frames[0].dtype == np.uint8


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "no.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match="expected a video"):
        list(clips.frames(tmp_path / "no.mp4"))


@pytest.mark.parametrize("command", ["session", "privacy"])
def test_the_commands_run_on_rendered_pictures(command: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.delenv("SIGHTLINE_PACKS", raising=False)
    out = tmp_path / "result.json"
    assert main(["bench", command, "--items", "6", "--out", str(out)]) == 0
    assert "rendered sample catalogue" in capsys.readouterr().out and out.stat().st_size > 500


def test_an_impossible_threshold_is_named(capsys) -> None:
    for wrong, said in ((["--near", "2"], "expected cosines in -1..1"), (["--items", "1"], "expected 2 or more")):
        assert main(["bench", "session", *wrong]) == 1
        assert said in capsys.readouterr().err
