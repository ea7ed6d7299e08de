"""The real client against the real service: schedule, pictures and the model beside it by hand, and runs through both back ends."""

import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline_bench.netsim import comparison, shots, twin
from sightline_bench.netsim.clock import MS_NS
from sightline_bench.netsim.comparison import Job, compared, through_tun
from sightline_bench.netsim.loopback import through_proxy
from sightline_bench.netsim.product_table import as_markdown
from sightline_bench.netsim.profiles import AWAKE, Profile, shipped_profiles
from sightline_bench.netsim.radio import Direction, RadioModel
from sightline_bench.netsim.schedule import SPARE_S, WARM_ROUNDS, schedule
from sightline_bench.netsim.table import Network
from sightline_bench.netsim.traces import RateTrace
from sightline_bench.netsim.tunnel import available
from sightline_bench.netsim.twin import Own, told
from sightline_bench.netsim.ways import LOCAL, WAYS
from sightline_bench.quality.tasks import samples_suite
from sightline_edge import Device
from sightline_shared.errors import InputError

needs_tun = pytest.mark.skipif(bool(available()), reason=available())

SLEEPY = RadioModel(
    drx_after_ns=100 * MS_NS, drx_cycle_ns=0, idle_after_ns=10_000 * MS_NS, promotion_ns=80 * MS_NS, paging_cycle_ns=0
)
NEAR = Profile("near", "Near", "made for a test", 10.0, 100.0, 100.0, 0.0, 100, None, "", AWAKE)
# 8 bits a microsecond up, so a byte takes one.
HAND = replace(NEAR, name="hand", round_trip_ms=20.0, up=8.0, down=8.0, radio=SLEEPY)


def own_of(device_ms: float, trip_ms: float, first_ms: float = np.inf, up: int = 1000, down: int = 500) -> Own:
    return Own(np.array([device_ms]), np.array([trip_ms]), np.array([first_ms]), up, down)


def test_every_round_asks_every_kind_once_and_none_before_the_last_is_over() -> None:
    kinds = [("warm", "code"), ("cold", "code"), ("warm", "racing")]
    takes_s = {kind: 0.1 * (number + 1) for number, kind in enumerate(kinds)}
    lead_s = dict.fromkeys(kinds, 0.2)
    slots = schedule(kinds, takes_s, lead_s, n=50, shots=7, seed=3)
    assert slots == schedule(kinds, takes_s, lead_s, n=50, shots=7, seed=3)
    assert slots != schedule(kinds, takes_s, lead_s, n=50, shots=7, seed=4)
    assert [slot.counted for slot in slots] == [False] * 3 * WARM_ROUNDS + [True] * 150
    for number in range(50):
        first = 3 * (WARM_ROUNDS + number)
        turn = slots[first : first + 3]
        assert {(slot.situation, slot.way) for slot in turn} == set(kinds)
        assert {slot.shot for slot in turn} == {number % 7}
    for before, after in pairwise(slots):
        over_s = before.due_s + takes_s[before.situation, before.way]
        assert before.open_s + 0.2 <= before.due_s + 1e-6 and after.open_s >= over_s + SPARE_S - 1e-5
    assert len({round(slot.due_s - slot.open_s, 6) for slot in slots}) > 100  # at no fixed distance


def test_pictures_are_of_about_the_wanted_size() -> None:
    noise = Image.effect_noise((200, 150), 80).convert("RGB")
    for size in (40_000, 120_000):
        data = shots.jpeg_of(noise, size)
        assert abs(len(data) - size) <= shots.NEAR * size
    # Grey without end needs more pixels than there may be: the nearest that can be had.
    assert len(shots.jpeg_of(Image.new("RGB", (200, 150)), 10**7)) < 10**6


def test_shots_are_photographs_that_the_device_asks_about(tmp_path: Path) -> None:
    suite = samples_suite(tmp_path / "samples", items=4)
    photos = [str(photo.path) for photo in suite.tasks[0].queries]
    blank = tmp_path / "blank.png"
    Image.new("RGB", (300, 300)).save(blank)
    device = Device.load()
    found = shots.shots_of([str(blank), *photos], 2, [40_000], device, tmp_path / "made")
    assert len(found) == 2 and str(blank) not in [shot.photo for shot in found]
    for shot in found:
        with Image.open(shot.photo) as picture:
            width, height = picture.size
        assert all(0 <= left < right <= width and 0 <= top < low <= height for left, top, right, low in shot.regions)
        assert Path(shot.jpegs[40_000]).stat().st_size == pytest.approx(40_000, rel=0.2)
    with pytest.raises(InputError, match="got none"):
        shots.shots_of([str(blank)], 2, [], device, tmp_path / "none")


def test_the_model_asks_the_same_bytes_and_adds_what_both_sides_take() -> None:
    # Warm: 7 on the device, 20 round trip, 1,000 + 52 bytes up, 5 in the service, 500 + 52 down; a microsecond a byte.
    model = told(HAND, {}, "warm", own_of(7.0, 5.0), [0.0, 1.0], [1])
    assert model.final_ms == pytest.approx([7 + 20 + 1.052 + 5 + 0.552] * 2)
    assert model.first_ms == pytest.approx(model.final_ms)
    # Asleep: the promotion before it. Cold: 60 bytes each way and another round trip; the acknowledgement of 52 goes first.
    asleep, cold = (told(HAND, {}, name, own_of(7.0, 5.0), [0.0], [1]).final_ms[0] for name in ("idle", "cold"))
    assert asleep == pytest.approx(model.final_ms[0] + 80)
    assert cold == pytest.approx(model.final_ms[0] + 20 + 0.060 + 0.060 + 0.052)


def test_the_devices_own_answer_is_the_first_and_one_that_asks_nobody_has_no_network() -> None:
    racing = told(HAND, {}, "warm", own_of(7.0, 5.0, first_ms=8.0), [0.0], [1])
    assert racing.first_ms == pytest.approx([8.0]) and racing.final_ms[0] > 30
    pocket = told(HAND, {}, "idle", own_of(7.5, 0.0, first_ms=7.5, up=0, down=0), [0.0], [1])
    assert pocket.first_ms == pytest.approx([7.5]) and pocket.final_ms == pytest.approx([7.5])


def test_the_model_meets_the_trace_at_the_instants_of_the_queries() -> None:
    # The second second is an outage: who asks in it waits for its end, half a second here.
    trace = RateTrace("hand", np.array([8.0, 0.0, 8.0, 8.0]))
    traces = {Direction.UP: trace}
    model = told(HAND, traces, "warm", own_of(0.0, 0.0), [0.2, 1.5, 2.2], [1])
    quiet = 20 + 1.052 + 0.552
    assert model.final_ms == pytest.approx([quiet, quiet + 500, quiet])


def test_what_comes_after_the_clients_deadline_does_not_come() -> None:
    traces = {Direction.UP: RateTrace("hand", np.array([8.0, *[0.0] * 31, 8.0]))}
    model = told(HAND, traces, "warm", own_of(0.0, 0.0), [0.2, 1.5, 2.5], [1])
    soon, never, late = model.final_ms
    # What TCP sent again in the outage goes first.
    assert soon == pytest.approx(21.604) and never == np.inf and 29_521.6 < late < 29_540


def test_made_traces_are_the_same_for_both_sides_and_recorded_ones_stand_in() -> None:
    driving = shipped_profiles().named("lte-driving")
    made = twin.traces_of(driving, {}, 3)
    assert set(made) == set(Direction) and np.array_equal(
        made[Direction.UP].times_ms, twin.traces_of(driving, {}, 3)[Direction.UP].times_ms
    )  # type: ignore[union-attr]
    recorded = RateTrace("hand", np.array([8.0]))
    assert twin.traces_of(driving, {Direction.UP: recorded}, 3)[Direction.UP] is recorded
    assert twin.traces_of(NEAR, {}, 3) == {}
    # The cell over them has the rates of the trace, whatever its own seed.
    first, second = (driving.cell(seed, made).links[Direction.UP].offer(0, 1500) for seed in (1, 2))
    assert first == second


def test_the_models_seeds_are_none_of_the_real_packets() -> None:
    seeds = [seed for run in range(20) for seed in twin.model_seeds(run, twin.DRAWS)]
    assert len(set(seeds)) == len(seeds) and all(seed % 2 for seed in seeds)
    assert twin.draws(NEAR, "warm", 40) == 1 and twin.draws(NEAR, "idle", 40) * 40 >= twin.DRAWS
    assert twin.draws(replace(NEAR, jitter_ms=1), "warm", 40) * 40 >= twin.DRAWS


def job_of(tmp_path: Path, ways: tuple[str, ...], situations: tuple[str, ...], n: int) -> Job:
    suite = samples_suite(tmp_path / "samples", items=6)
    gallery = [str(photo.path) for photo in next(iter(suite.galleries.values()))]
    made = shots.shots_of(gallery, n, [40_000, 120_000], Device.load(), tmp_path / "shots")
    return Job(ways, situations, n, 0, gallery, made, tmp_path)


def test_every_way_to_ask_is_answered_through_the_proxy(tmp_path: Path) -> None:
    job = job_of(tmp_path, WAYS, ("warm",), 2)
    steps: list[None] = []
    found, samples = compared([Network.of(NEAR)], job, through_proxy, lambda: steps.append(None), tun=False)
    assert len(steps) == 3 and set(samples) >= {f"near, warm, {way}: final ms" for way in WAYS}
    for way in WAYS:
        final_ms = samples[f"near, warm, {way}: final ms"]
        assert len(final_ms) == 2 and np.isfinite(final_ms).all(), way
        assert way in LOCAL or min(final_ms) > 10, way
    if not found["near"]["refused"]:
        cells = found["near"]["cells"]["warm"]
        up = {way: cells[way]["bytes"]["up"] for way in WAYS}
        assert up["pocket"] == up["cached"] == 0
        assert (
            up["code"]
            < up["3 crops"]
            < up["int8 vector"] + 300
            < up["float vector"] + 300
            < up["photo 40 KB"]
            < up["photo 120 KB"]
        )
        assert cells["code"]["codes"] == 1 and 1 < cells["3 crops"]["codes"] <= 3
        assert cells["racing"]["first"]["ms"]["p50"]["value"] < cells["racing"]["final"]["ms"]["p50"]["value"]


@needs_tun
def test_a_sleeping_radio_and_a_new_connection_are_paid_for_over_tun(tmp_path: Path) -> None:
    sleepy = replace(NEAR, name="sleepy", radio=SLEEPY)
    job = job_of(tmp_path, ("code", "photo 40 KB"), ("warm", "cold", "idle"), 2)
    found, samples = compared([Network.of(sleepy)], job, through_tun, lambda: None)
    for way in job.ways:
        least = {name: min(samples[f"sleepy, {name}, {way}: final ms"]) for name in job.situations}
        assert least["warm"] > 10 and least["cold"] > 20 and least["idle"] > 90, way
    result = {"about": "", "titles": {}, "product": found}
    assert "refused" in as_markdown(result) or "| sleepy | idle | code |" in as_markdown(result)


def test_traces_want_tun_devices() -> None:
    with pytest.raises(InputError, match="got a trace"):
        through_proxy(NEAR, {}, 0, {Direction.UP: RateTrace("hand", np.array([8.0]))})


def test_a_run_that_was_late_has_no_figures_and_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rng = random.Random(0)

    def carried(profile: Profile, plan: object, seed: int, traces: object) -> comparison.Measured:
        rows = {f"warm, code: {field}": [10 + rng.random() for _ in range(4)] for field in comparison.FIELDS}
        return comparison.Measured(rows, 7.5, profile is comparison.NO_NETWORK, 0)

    job = Job(("code",), ("warm",), 4, 0, [], [shots.Shot("a", {}, ())], tmp_path)
    found, samples = compared([Network.of(NEAR)], job, carried, lambda: None)
    assert found == {"near": {"late_p99_ms": 7.5, "refused": True}} and "near, warm, code: final ms" in samples
    assert "refused: 7.5 ms late at p99" in as_markdown({"about": "Beware.", "titles": {}, "product": found})


@pytest.mark.parametrize(("later_ms", "moved"), [(11.0, False), (14.0, True)])
def test_a_service_that_takes_longer_at_the_end_marks_its_rows(tmp_path: Path, later_ms: float, moved: bool) -> None:
    ran = []

    def carried(profile: Profile, plan: object, seed: int, traces: object) -> comparison.Measured:
        ran.append(profile.name)
        took_ms = later_ms if len(ran) == 3 else 10.0
        rows = {f"warm, code: {field}": [30.0] * 4 for field in comparison.FIELDS}
        return comparison.Measured({**rows, "warm, code: round trip ms": [took_ms] * 4}, 0.1, True, 0)

    job = Job(("code",), ("warm",), 4, 0, [], [shots.Shot("a", {}, ())], tmp_path)
    found, samples = compared([Network.of(NEAR)], job, carried, lambda: None)
    cell = found["near"]["cells"]["warm"]["code"]
    assert ran == ["none", "near", "none"] and {"none, before, warm, code: final ms"} < set(samples)
    assert cell["own_ms"]["moved"] is moved and cell["own_ms"]["service_after"] == later_ms
    text = as_markdown({"about": "", "titles": {}, "product": found})
    assert (" * |" in text) is moved


def test_a_way_that_decides_nothing_is_told_before_any_network_is_run(tmp_path: Path) -> None:
    ran = []

    def carried(profile: Profile, plan: object, seed: int, traces: object) -> comparison.Measured:
        ran.append(profile.name)
        rows = {f"warm, code: {field}": [10.0] * 4 for field in comparison.FIELDS}
        return comparison.Measured({**rows, "warm, pocket: left out": [1.0] * 4}, 0.1, True, 0)

    job = Job(("code", "pocket"), ("warm",), 4, 0, [], [shots.Shot("a", {}, ())], tmp_path)
    with pytest.raises(InputError, match="'warm, pocket'"):
        compared([Network.of(NEAR)], job, carried, lambda: None)
    assert ran == ["none"]


def test_an_unanswered_query_is_the_latest_of_all_and_counted() -> None:
    fields = dict.fromkeys(comparison.FIELDS, [1.0] * 3)
    rows = {**fields, "final ms": [50.0, np.inf, 40.0], "first ms": [50.0, np.inf, 8.0], "left out": [1.0]}
    rows |= {"due s": [1.0, 2.0, 3.0], "open": [1.0, 0.0, 1.0], "up": [376.0, 0.0, 378.0]}
    cell = comparison._cell(NEAR, {}, "warm", own_of(7.0, 5.0), rows, 0)
    assert cell["unanswered"] == 1 and cell["left_out"] == 1 and cell["not_open"] == 1
    assert cell["final"]["ms"]["p50"]["value"] == 50.0 and cell["first"]["ms"]["p50"]["value"] == 50.0
    assert cell["final"]["miss_200_ms"]["value"] == pytest.approx(1 / 3, abs=1e-4)
    assert cell["bytes"]["up"] == 377.0
    assert cell["model_to_real"] == {"p50": pytest.approx(cell["model"]["final"]["ms"]["p50"]["value"] / 50, abs=1e-3)}


def test_links_are_only_asked_forwards() -> None:
    # What told() relies on: queries that are ready in another order than they were wanted in.
    own = Own(np.array([900.0, 1.0]), np.array([1.0, 1.0]), np.array([np.inf, np.inf]), 100, 100)
    model = told(HAND, {}, "warm", own, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5], [1, 3, 5])
    assert len(model.final_ms) == 18 and np.isfinite(model.final_ms).all()
