"""What `bench network` does in real time: theory, the kernel, the proxy, and the real client with the real service."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from sightline_bench.netsim import deviation, theory
from sightline_bench.netsim.agreement import BARE_TCP, Layer, agreement
from sightline_bench.netsim.comparison import Job, compared, through_tun
from sightline_bench.netsim.loopback import through_proxy
from sightline_bench.netsim.profiles import Profile
from sightline_bench.netsim.proxy import ABOUT, BACK_END
from sightline_bench.netsim.shots import shots_of
from sightline_bench.netsim.table import SITUATIONS, Plan
from sightline_bench.netsim.virtual import Rest
from sightline_bench.netsim.ways import PHOTO_BYTES
from sightline_bench.quality.tasks import packs_suite, samples_suite
from sightline_bench.results import Result, Run
from sightline_edge import Device
from sightline_shared.errors import InputError

# A bare request says in its first bytes how long it is.
LEAST_BARE_BYTES = 8
GALLERY = 200
# Of so many photographs for one query the device does not turn all away.
SPARE_PHOTOS = 4
TUN, PROXY = "tun", BACK_END
BACK_ENDS = (TUN, PROXY)


def theory_result(run: Run, plan: Plan, seconds: float, step: Callable[[], None]) -> Result:
    """Return the result of `--what theory`; raises InputError for networks that cannot be worked out by hand."""
    found, samples = theory.against_theory([network.profile for network in plan.networks], plan.n, seconds, step)
    ok = all(network["ok"] for name, network in found.items() if not name.endswith(theory.ROOMY))
    return run.result({"ok": ok, "theory": found}, samples)


def kernel_result(
    run: Run, plan: Plan, sizes: Sequence[int], step: Callable[[], None], layer: Layer = BARE_TCP
) -> Result:
    """Return the result of `--what kernel` or, with that layer, tls; raises InputError for traces and for too small requests."""
    found, samples = agreement(layer, _bare(plan, sizes), sizes, plan.n, plan.seed, step)
    return run.result({"agreement": found}, samples)


def proxy_result(run: Run, plan: Plan, sizes: Sequence[int], step: Callable[[], None]) -> Result:
    """Return the result of `--what proxy`; raises InputError for traces and for too small requests."""
    found, samples = deviation.deviation(_bare(plan, sizes), sizes, plan.n, plan.seed, step)
    return run.result({"back_end": BACK_END, "about": ABOUT, "proxy": found}, samples)


def _bare(plan: Plan, sizes: Sequence[int]) -> list[Profile]:
    """Return the plan's profiles for exchanges with nothing above TCP."""
    changing = any(network.recorded or not network.profile.is_constant for network in plan.networks)
    if changing or min(sizes) < LEAST_BARE_BYTES:
        raise InputError(
            f"--what kernel, tls, proxy: expected networks without traces and --sizes of {LEAST_BARE_BYTES} bytes or more."
        )
    return [network.profile for network in plan.networks]


def product_result(
    run: Run, plan: Plan, ways: Sequence[str], back_end: str, packs: Path | None, step: Callable[[], None]
) -> Result:
    """Return the result of `--what product`, over the packs' photographs or rendered ones."""
    if back_end == PROXY and any(SITUATIONS[name][1] is not Rest.ACTIVE for name in plan.situations):
        raise InputError(
            "--back-end proxy: expected situations in which the radio is awake.", hint="Others want --back-end tun."
        )
    device, carry = Device.load(), through_tun if back_end == TUN else through_proxy
    with tempfile.TemporaryDirectory(prefix="sightline-network-") as folder:
        suite = packs_suite(packs) if packs else samples_suite(Path(folder) / "samples")
        shelf, asked = next(iter(suite.galleries.values())), suite.tasks[0].queries
        gallery, photos = (
            [str(photo.path) for photo in every[:: max(1, len(every) // most)]]
            for every, most in ((shelf, GALLERY), (asked, SPARE_PHOTOS * plan.n))
        )
        sizes = [PHOTO_BYTES[way] for way in ways if way in PHOTO_BYTES]
        shots = shots_of(photos, plan.n, sizes, device, Path(folder) / "shots")
        run.note(
            source=suite.source, gallery=len(gallery[:GALLERY]), photos=len(shots), back_end=back_end, ways=list(ways)
        )
        job = Job(ways, plan.situations, plan.n, plan.seed, gallery[:GALLERY], shots, Path(folder))
        found, samples = compared(plan.networks, job, carry, step, tun=back_end == TUN)
    titles = {network.name: network.title for network in plan.networks}
    return run.result(
        {"back_end": back_end, "about": ABOUT if back_end == PROXY else "", "titles": titles, "product": found}, samples
    )
