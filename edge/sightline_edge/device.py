"""A bundle made ready to run: verified, loaded, proved on its golden vectors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sightline_edge.config import resolve_bundle
from sightline_edge.gate import Gate
from sightline_edge.runtimes import Runtime, load_runtime
from sightline_edge.runtimes.base import DEFAULT_RUNTIME
from sightline_shared.bundle import Bundle
from sightline_shared.codec import Codec
from sightline_shared.confidence import Calibration
from sightline_shared.heads import Heads


@dataclass(frozen=True, eq=False)
class Device:
    """Everything that the device path needs. Load one and share it between clients and threads.

    `calibration` judges what the pocket index finds; None in a bundle that has only the manifest's two thresholds.
    """

    bundle: Bundle
    runtime: Runtime
    gate: Gate
    codec: Codec
    heads: Heads | None = None
    calibration: Calibration | None = None

    @classmethod
    def load(
        cls, bundle: Bundle | str | Path | None = None, *, runtime: str = DEFAULT_RUNTIME, threads: int = 1
    ) -> Device:
        """Open, verify and prove a bundle (None: the SDK's own) under `runtime`, "onnxruntime" or "tflite".

        Raises BundleError, RuntimeFailed, ConfigInvalid or ExtraMissing (see `load_runtime`).
        """
        opened = resolve_bundle(bundle)
        return cls(
            bundle=opened,
            runtime=load_runtime(runtime, opened, threads=threads),
            gate=Gate.from_bytes(opened.role("gate")),
            codec=opened.codec,
            heads=opened.heads,
            calibration=opened.calibration,
        )
