"""Found, unsure or not found, with a probability: what the evidence says by the models that are in force.

For a tenant of a generation that is the operator's own decision file, `<data>/decision/<pairing id>/<tenant>.json` ('sightline
decision calibrate' writes it), else the bundle's, else the bundle's two thresholds on the cosine, without a probability.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

from sightline_cloud.logs import log_failure
from sightline_shared.bundle import Bundle
from sightline_shared.confidence import MAX_FILE_BYTES, Calibration
from sightline_shared.decision import EMPTY, FILTERED
from sightline_shared.errors import DecisionInvalid
from sightline_shared.evidence import Evidence
from sightline_shared.protocol import Decision
from sightline_shared.verdict import Verdict, judge


class Confidence:
    """Judges evidence by one calibration, or by a bundle's thresholds where there is none that can answer."""

    def __init__(self, calibration: Calibration | None, thresholds: Mapping[str, float]) -> None:
        self._calibration, self._thresholds = calibration, thresholds

    def judge(self, evidence: Evidence) -> Verdict:
        """Return the verdict on the first match."""
        return judge(evidence, self._calibration, self._thresholds)


class Confidences:
    """The confidence of every tenant of one generation. Safe between threads; a changed file counts from the next query on."""

    def __init__(self, bundle: Bundle, data_dir: Path) -> None:
        """Raises BundleCorrupt for a bundle whose decision file cannot be read."""
        self._thresholds = bundle.manifest.decision
        self._default = Confidence(bundle.calibration, self._thresholds)
        self._folder = str(decision_folder(data_dir, bundle))
        self._own: dict[str, tuple[tuple[int, int], Confidence]] = {}
        self._lock = threading.Lock()

    def of(self, tenant: str) -> Confidence:
        """Return what judges the answers of `tenant`.

        A file of its own that cannot be used is logged and passed over, once for each state of the file: an answer by the
        bundle's models is better than none.
        """
        path = f"{self._folder}/{tenant}.json"  # every query asks: a Path would take as long as the system does
        try:
            status = os.stat(path)  # noqa: PTH116
        except OSError:
            return self._default
        state = status.st_mtime_ns, status.st_size
        with self._lock:
            known = self._own.get(tenant)
            if known is None or known[0] != state:
                known = self._own[tenant] = state, self._read(Path(path))
        return known[1]

    def _read(self, path: Path) -> Confidence:
        try:
            return Confidence(read_decision(path), self._thresholds)
        except DecisionInvalid as error:
            log_failure("decision_file_refused", error)
            return self._default


def decision_folder(data_dir: Path, bundle: Bundle) -> Path:
    """Return where the operator's own decision files for `bundle` are."""
    return data_dir / "decision" / bundle.pairing.id.hex()


def read_decision(path: Path) -> Calibration:
    """Read a decision file; raises DecisionInvalid."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise DecisionInvalid(f"{path}: expected a readable file, got '{error.strerror}'.") from error
    return Calibration.from_bytes(data, str(path))


def nothing_found(*, filtered: bool) -> Verdict:
    """Return the verdict on a search without any hit; `filtered` says whether the query had a filter."""
    reason = f"{FILTERED}: no item passes the filter" if filtered else f"{EMPTY}: the catalogue is empty"
    return Verdict(Decision.NOT_FOUND, None, "", (reason,))
