"""How near the model in virtual time comes to the kernel's TCP, bare and below OpenSSL's TLS: every cell, the misses too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline_bench.netsim.kernel import BARE, modelled, through
from sightline_bench.netsim.lateness import LATE_MS
from sightline_bench.netsim.profiles import NO_NETWORK, Profile
from sightline_bench.netsim.stack import TCP, Session, Stack
from sightline_bench.netsim.table import ANSWER_BYTES
from sightline_bench.stats import block_interval

WITHIN = 0.1
# With jitter one exchange of the model is one draw.
DRAWS = 201
Agreement = dict[str, dict[str, Any]]
Samples = dict[str, list[float]]


@dataclass(frozen=True)
class Layer:
    """What is compared: the module of both ends, the stack that the model takes it for, sessions by what the phone's end calls them.

    `costs`: both ends take time themselves, which is measured with no network between them, and added to the model.
    """

    module: str
    stack: Stack
    sessions: Mapping[str, Session]
    costs: bool


BARE_TCP = Layer("sightline_bench.netsim.endpoint", BARE, {"cold": Session.COLD, "warm": Session.WARM}, costs=False)
TLS = Layer(
    "sightline_bench.netsim.secure",
    Stack("tls", TCP, True, (0, 0), (0, 0)),
    {"cold": Session.COLD, "resumed": Session.RESUMED, "warm": Session.WARM},
    costs=True,
)


def agreement(
    layer: Layer, profiles: Sequence[Profile], sizes: Sequence[int], n: int, seed: int, step: Callable[[], None]
) -> tuple[Agreement, Samples]:
    """Return by profile the emulator's lateness and, where that is good, each cell's medians; and the raw milliseconds.

    Raises InputError where TUN devices cannot be had. `sizes` are bytes up, 8 at least, without any header. Of one `seed`
    come the kernel's jitter and losses and, other ones, the model's. `step` is called for each profile.
    """
    found: Agreement = {}
    samples: Samples = {}
    plan = {"sizes": list(sizes), "down_bytes": [ANSWER_BYTES], "n": [n]}
    own_ms = through(NO_NETWORK, layer.module, plan).ms if layer.costs else {}
    for profile in profiles:
        run = through(profile, layer.module, plan, kernel_seed(seed))
        cells = {}
        for kind, session in layer.sessions.items():
            for size in sizes:
                ms = run.ms[f"{kind} {size}"]
                samples[f"{profile.name} {kind} {size} B ms"] = ms
                own = float(np.median(own_ms.get(f"{kind} {size}", [0.0])))
                model = modelled(profile, size, ANSWER_BYTES, session, model_seeds(profile, seed), layer.stack)
                cells[f"{kind} {size} B"] = _cell(ms, [own + each for each in model])
        found[profile.name] = {"late_p99_ms": round(run.late_ms, 3), "refused": not run.is_good}
        if run.is_good:
            found[profile.name]["cells"] = cells
        step()
    return found, samples


def kernel_seed(seed: int) -> int:
    """Return the seed of what happens to the kernel's packets: an even number, and the model has the odd ones."""
    return 2 * seed


def model_seeds(profile: Profile, seed: int) -> range:
    """Return the model's seeds: DRAWS of them where an exchange does not always take the same time."""
    draws = DRAWS if profile.jitter_ms or profile.loss else 1
    return range(2 * seed * DRAWS + 1, 2 * (seed * DRAWS + draws) + 1, 2)


def _cell(kernel_ms: list[float], model_ms: list[float]) -> dict[str, Any]:
    values, model = np.array(kernel_ms), float(np.median(model_ms))
    middle = float(np.median(values))
    low, high = block_interval(values, lambda drawn: float(np.median(drawn)))
    kernel = {"value": round(middle, 3), "interval": [round(low, 3), round(high, 3)], "n": len(values)}
    return {"kernel_p50_ms": kernel, "model_p50_ms": round(model, 3), "model_to_kernel": round(model / middle, 4)}


def as_markdown(found: Agreement) -> str:
    """Return the comparison as people read it."""
    lines = [
        f"Medians of an exchange over the kernel's TCP (cubic) through TUN devices, the model's, their ratio; bold: off by more than {WITHIN:.0%}.",
        f"A network is refused when the emulator handed 1 % of its packets on more than {LATE_MS:g} ms late.",
        "",
        "| network | exchange | kernel p50 ms | model | model to kernel |",
        "|---|---|---|---|---|",
    ]
    for name, network in found.items():
        if network["refused"]:
            lines.append(f"| {name} | refused: {network['late_p99_ms']} ms late at p99 | | | |")
        for label, cell in network.get("cells", {}).items():
            kernel, ratio = cell["kernel_p50_ms"], cell["model_to_kernel"]
            text = f"{ratio:.3f}" if abs(ratio - 1) <= WITHIN else f"**{ratio:.3f}**"
            low, high = kernel["interval"]
            lines.append(
                f"| {name} | {label} | {kernel['value']:.1f} [{low:.1f}, {high:.1f}] | {cell['model_p50_ms']:.1f} | {text} |"
            )
    return "\n".join(lines)
