"""Tables of what holds the model: arithmetic, the kernel's TCP, the real client and service; and how far the proxy is off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sightline_bench.netsim import deviation, product_table, theory
from sightline_bench.netsim.agreement import WITHIN
from sightline_bench.tables.cells import table
from sightline_bench.tables.shelf import Shelf

KERNEL, JITTER = "network-kernel", "network-kernel-jitter"
THEORY, PRODUCT, PROXY = "network-theory", "network-product", "network-proxy"


def kernel(shelf: Shelf) -> str:
    """Return the ratio of the model's median to the kernel's by network, connection and size: every cell."""
    found: dict[str, Any] = {**shelf[KERNEL]["agreement"], **shelf[JITTER]["agreement"]}
    sizes = list(dict.fromkeys(label.partition(" ")[2] for row in found.values() for label in row.get("cells", {})))
    rows = []
    for name, network in found.items():
        if network["refused"]:
            rows.append([name, f"refused: {network['late_p99_ms']} ms late at p99"])
        for kind in ("cold", "warm") if not network["refused"] else ():
            rows.append([name, kind, *(_ratio(network["cells"].get(f"{kind} {size}")) for size in sizes)])
    about = f"Ratio of medians, model to kernel; bold: off by more than {100 * WITHIN:g} %. {_steady(shelf)}"
    head = ["network", "", *sizes]
    return f"{table(head, rows)}\n\n{shelf.source(KERNEL, JITTER, about=about)}"


def product(shelf: Shelf) -> str:
    """Return the real client asking the real service, by network, situation and way to ask, and the model beside it."""
    return f"{product_table.as_markdown(shelf[PRODUCT])}\n\n{shelf.source(PRODUCT)}"


def against_theory(shelf: Shelf) -> str:
    """Return the packets through the emulator beside arithmetic."""
    return f"{theory.as_markdown(shelf[THEORY]['theory'])}\n\n{shelf.source(THEORY)}"


def proxy(shelf: Shelf) -> str:
    """Return how far the proxy is off the model."""
    return f"{deviation.as_markdown(shelf[PROXY]['proxy'])}\n\n{shelf.source(PROXY)}"


def _steady(shelf: Shelf) -> str:
    """Return how many cells are near, of both results apart."""
    said = []
    for name, what in ((KERNEL, "networks that never change"), (JITTER, "networks with jitter or losses")):
        jittered = shelf[JITTER]["agreement"] if name == KERNEL else {}
        off = np.array(
            [
                abs(cell["model_to_kernel"] - 1)
                for network, row in shelf[name]["agreement"].items()
                if network not in jittered
                for cell in row.get("cells", {}).values()
            ]
        )
        if len(off):
            near = ", ".join(f"{(off <= bound).sum()} within {100 * bound:g} %" for bound in (0.03, 0.05, WITHIN))
            said.append(
                f"On {what} {near} of {len(off)} cells, the median {100 * np.median(off):.1f} % off, the worst {100 * off.max():.1f} %."
            )
    return " ".join(said)


def _ratio(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return ""
    text = f"{cell['model_to_kernel']:.3f}"
    return text if abs(cell["model_to_kernel"] - 1) <= WITHIN else f"**{text}**"
