"""Check every file of a bundle against its digest, then run its golden pictures through this machine's runtime.

Exit status 0 when all holds, 1 with the list of what does not.

Examples:
  sightline bundle verify
  sightline bundle verify ./my-bundle --json
  sightline bundle verify ./my-bundle --runtime tflite
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sightline_edge.config import default_bundle_path
from sightline_edge.runtimes import load_runtime
from sightline_edge.runtimes.base import RUNTIMES, add_runtime_argument
from sightline_shared.bundle import Bundle, damaged_files, open_bundle
from sightline_shared.preprocess import SPEC_ID, to_tensor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", nargs="?", help="a bundle folder (default SIGHTLINE_BUNDLE, else the SDK's own)")
    add_runtime_argument(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    directory = Path(args.bundle) if args.bundle else default_bundle_path()
    damaged = damaged_files(directory)
    if damaged:
        return {"ok": False, "bundle": str(directory), "damaged": damaged}
    bundle = open_bundle(directory)
    role = RUNTIMES[args.runtime]
    runtime = load_runtime(args.runtime, bundle)
    worst = bundle.check_golden(runtime.embed, runtime=runtime.name, role=role)
    differing = differing_tensors(bundle)
    codes_agree = bool((bundle.codec.encode(bundle.golden.embeddings) == bundle.golden.codes).all())
    return {
        "ok": not differing and codes_agree and bundle.manifest.pixel_spec == SPEC_ID,
        "bundle": str(directory),
        "digest": bundle.digest,
        "files": len(bundle.files),
        "damaged": {},
        "runtime": runtime.name,
        "golden_worst_cosine": round(worst, 6),
        "golden_min_cosine": bundle.manifest.tolerance(role),
        "tensors_differing": differing,
        "codes_agree": codes_agree,
        "pixel_spec": {"bundle": bundle.manifest.pixel_spec, "sdk": SPEC_ID},
    }


def differing_tensors(bundle: Bundle) -> list[int]:
    """Return the indices of the golden pictures that this machine does not preprocess to the golden tensor exactly."""
    golden, size = bundle.golden, bundle.manifest.input_size
    made = [to_tensor(Image.open(io.BytesIO(source)).convert("RGB"), size) for source in golden.sources]
    return [i for i, tensor in enumerate(made) if not np.array_equal(tensor, golden.tensors[i])]


def show(result: dict[str, Any]) -> str:
    if result["damaged"]:
        rows = [f"  {name}: {problem}" for name, problem in result["damaged"].items()]
        return "\n".join([f"{result['bundle']}: DAMAGED", *rows])
    verdict = "verified" if result["ok"] else "FAILED"
    return "\n".join(
        [
            f"{result['bundle']}: {verdict}",
            f"  {result['files']} files hash right; bundle digest {result['digest']}",
            f"  {result['runtime']}: worst golden cosine {result['golden_worst_cosine']} "
            f"(at least {result['golden_min_cosine']})",
            f"  golden tensors: {'all bit-identical' if not result['tensors_differing'] else 'DIFFER'}"
            f"; golden codes: {'all equal' if result['codes_agree'] else 'DIFFER'}",
        ]
    )
