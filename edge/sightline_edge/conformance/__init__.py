"""Golden vectors by which a port of the device (Swift, Kotlin, JavaScript) proves itself; shared/README.md, "Proving a port"."""

from __future__ import annotations

import json
from pathlib import Path

from sightline_edge.conformance.codecs import codes, reranked
from sightline_edge.conformance.document import FORMAT, Document
from sightline_edge.conformance.pictures import pixels, qualities
from sightline_edge.conformance.pockets import pockets
from sightline_edge.conformance.scores import gates, heads
from sightline_edge.conformance.way import embeddings, golden_device, ways
from sightline_edge.conformance.wire import answers, pairings, refused, requests
from sightline_shared import __version__
from sightline_shared.bundle import Bundle
from sightline_shared.errors import InputError
from sightline_shared.manifest import FileEntry

INDEX = "index.json"


def documents(bundle: Bundle) -> list[Document]:
    """Return every category's vectors; those named `golden-...` are the bundle's, all others are the same for every bundle."""
    return [
        pixels(bundle),
        qualities(bundle),
        embeddings(bundle),
        codes(bundle),
        gates(bundle),
        heads(bundle),
        pairings(bundle),
        requests(),
        answers(),
        refused(),
        reranked(bundle),
        ways(bundle),
        pockets(golden_device(bundle)),
    ]


def write(bundle: Bundle, directory: Path) -> list[Document]:
    """Write the vectors, and last `index.json` with each file's size and SHA-256, into the new folder `directory`.

    The same bundle and SDK write the same bytes. Raises InputError when the folder exists or cannot be written.
    """
    made = documents(bundle)
    files = {name: data for document in made for name, data in document.files().items()}
    index = {
        "format": FORMAT,
        "sightline": __version__,
        "bundle": {"name": bundle.manifest.name, "version": bundle.manifest.version, "digest": bundle.digest},
        "pixel_spec": bundle.manifest.pixel_spec,
        "files": {name: vars(FileEntry.of(data)) for name, data in sorted(files.items())},
    }
    files[INDEX] = json.dumps(index, indent=1).encode() + b"\n"
    try:
        directory.mkdir(parents=True)
        for name, data in files.items():
            (directory / name).write_bytes(data)
    except OSError as error:
        raise InputError(
            f"{directory}: expected a new folder to write into, got '{error.strerror}'.", hint="Choose another folder."
        ) from error
    return made
