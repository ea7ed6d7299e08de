"""What a reader must know before trusting a bundle: limits that hold for every export, and those its figures show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def limits(body: Mapping[str, Any]) -> list[str]:
    """Return the known limits, one sentence or two each; figures of the run stand in them where there are any."""
    figures = body["figures"]
    found = [
        "Closed set: the gallery photographs are the ones that the student was trained on. Items that are added later are "
        "found less often; the questions of held-out classes say how much.",
        "Intervals are bootstrap intervals over photographs of one run with one seed: they do not hold the spread "
        "between runs.",
        _stranger_limit(figures),
        "Times are medians on the machine named below, which was not kept quiet: trust ratios more than milliseconds.",
        "The natural counterfactuals use a centred ellipse in place of a true mask, and the corruptions are drawn by "
        "formulas: both rank students against each other better than they foretell a camera.",
        "A code of 64 bytes is small, not private: what an embedding says of a picture can partly be read back.",
    ]
    if any("Core ML" in entry.get("data", "") or ".coreml" in name for name, entry in figures.items()):
        found.append(
            "The Core ML packages were checked by running their programs op by op; they were not run on Core ML."
        )
    if any(name.startswith("sensitive.") for name in figures):
        found.append(
            "The sensitive head knows the kinds it was trained on. It has never seen a rash, an ordinary phone photograph "
            "of skin, pills or documents."
        )
    return found


def _stranger_limit(figures: Mapping[str, Any]) -> str:
    text = (
        "What the gate calls unlike the catalogue is largely photographic style. Read the share of outside photographs that "
        "it turns away together with the share of the catalogue's own studio pictures that it turns away"
    )
    away, studio = figures.get("gate.outside_rejected"), figures.get("gate.studio_rejected.leave_half_out")
    if away and studio:
        text += f": here {100 * away['value']:.1f} % and {100 * studio['value']:.1f} %"
    return text + "."
