"""What is taken into the catalogue can be found and can travel; what cannot is named and left out."""

import io
import os
from pathlib import Path

import msgpack
import pytest
from PIL import Image
from support.service import post_item
from support.tiny_bundle import jpeg, picture

from sightline_cloud.ingest.fields import MAX_METADATA_BYTES, item_problem
from sightline_cloud.ingest.reader import list_photos
from sightline_edge import Client, Options
from sightline_shared.errors import InputError, ManifestInvalid
from sightline_shared.protocol import (
    MAX_ANSWER_BYTES,
    MAX_ID_CHARS,
    MAX_K,
    Answer,
    Decision,
    Match,
    pack_answer,
    unpack_answer,
)


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ({"price": float("nan")}, "finite"),
        ({"price": float("-inf")}, "finite"),
        ({"title": "鞋" * 2000}, "at most 4096 bytes"),
        ({"title": "\ud800"}, "can travel"),
        ({"tags": ["a"]}, "map of scalars"),
    ],
)
def test_metadata_that_would_spoil_every_answer_is_refused(service, metadata: dict[str, object], problem: str) -> None:
    assert problem in (item_problem("id", metadata) or "")
    if metadata != {"title": "\ud800"}:  # msgpack cannot carry that one here in the first place
        with service.http() as http:
            response = post_item(http, "x", jpeg(picture(1)), metadata)
        assert response.status_code == 400 and response.json()["code"] == "E_BODY_MALFORMED"


def test_the_largest_items_make_an_answer_that_can_be_read() -> None:
    text = "鞋" * ((MAX_METADATA_BYTES - 10) // 3)
    metadata, item_id = {"t": text}, "鞋" * MAX_ID_CHARS
    assert item_problem(item_id, metadata) is None and item_problem(item_id, {"t": text + "鞋鞋鞋"})
    matches = tuple(Match(item_id, 0.5, metadata, 0, bytes(96)) for _ in range(MAX_K))
    packed = pack_answer(Answer(b"12345678", Decision.FOUND, matches, ("x" * 300,), stages_ms={"search": 1.0}))
    assert len(packed) < MAX_ANSWER_BYTES and len(unpack_answer(packed).matches) == MAX_K


def test_fifty_wide_items_reach_the_client(service) -> None:
    with service.http() as http:
        for number in range(50):  # different ones: of equal pictures an answer has one
            assert post_item(http, f"w{number}", jpeg(picture(30 + number)), {"t": "鞋" * 1300}).status_code == 200
    with Client(service.url, api_key=service.key, device=service.device, options=Options(k=50)) as client:
        assert len(client.search(picture(30)).matches) == 50


@pytest.mark.parametrize(("orientation", "size"), [(1, (4000, 3000)), (6, (3000, 4000))])
def test_the_size_on_record_is_the_originals(service, orientation: int, size: tuple[int, int]) -> None:
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    picture(5, size=(4000, 3000)).save(buffer, "JPEG", exif=exif, comment=b"taken by Ada")
    with service.http() as http:
        assert post_item(http, "large", buffer.getvalue(), {}).status_code == 200
        item = http.get("/v1/items/large").json()
        thumbnail = http.get("/v1/items/large/thumbnail").content
    assert (item["width"], item["height"]) == size
    assert max(Image.open(io.BytesIO(thumbnail)).size) <= 192 and b"Ada" not in thumbnail


def test_one_bad_name_or_picture_does_not_stop_the_rest(service, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    long = photos / ("d" * 120) / ("e" * 120)
    long.mkdir(parents=True)
    for name in ("good.png", "x.jpg"):
        picture(41).save(photos / name)
    picture(42).save(long / "deep.png")
    (photos / "empty.png").write_bytes(b"")
    with open(os.path.join(os.fsencode(photos), b"stray\xff.png"), "wb") as file:  # noqa: PTH118  a name that is not UTF-8
        file.write((photos / "good.png").read_bytes())
    report = service.engine.ingest.add_photos("default", list_photos(photos))
    assert (report.added, report.skipped) == (2, 3)
    assert {problem["code"] for problem in report.problems} == {"E_MANIFEST_INVALID", "E_IMAGE_UNREADABLE"}
    assert all(text.encode() for problem in report.problems for text in problem.values()), "every text can be printed"


def test_a_folder_without_one_readable_picture_is_an_error(service, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no")
    with pytest.raises(InputError, match="at least one readable picture among 1"):
        service.engine.ingest.add_photos("default", list_photos(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,id\na\x00.png,1\n", "line 2: expected the path of a picture"),
        ("path,id\n,1\n", "line 2: expected the path of a picture"),
        ("path,id\na.png," + "x" * 201 + "\n", "line 2: expected an 'id' of 1 to 200"),
        ("path,id,note\na.png,1," + "y" * 5000 + "\n", "at most 4096 bytes"),
        ("path,id\na.png,1\nb.png,1\n", "every id once, got '1' twice"),
        ("file,id\na.png,1\n", "column 'path'"),
        ("path,split\na.png,test\n", "at least one row with split train"),
        ("path\n\xff\n", "UTF-8"),
    ],
)
def test_bad_manifests_are_named_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_bytes(text.encode("latin-1"))
    with pytest.raises(ManifestInvalid, match=message):
        list_photos(manifest, split="train" if "split" in text else None)


def test_an_id_that_is_there_twice_is_found_in_a_large_manifest(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("path,id\n" + "".join(f"p{n}.png,i{n}\n" for n in range(20_000)) + "x.png,i19999\n")
    with pytest.raises(ManifestInvalid, match="'i19999' twice"):
        list_photos(manifest)


def test_the_packs_columns_become_metadata(tmp_path: Path) -> None:
    header = "path,split,domain,coarse,fine,instance,caption,source,licence"
    (tmp_path / "manifest.csv").write_text(f"{header}\na/b.jpg,train,grocery,fruit,apple,7,A red apple,me,CC0\n")
    (entry,) = list_photos(tmp_path / "manifest.csv", split="train")
    assert entry.id == "a/b.jpg" and entry.path == tmp_path / "a/b.jpg"
    assert (entry.metadata["title"], entry.metadata["category"], entry.metadata["instance"]) == (
        "A red apple",
        "fruit",
        "7",
    )


def test_an_item_body_may_be_any_bytes(service) -> None:
    with service.http() as http:
        for content in (b"", b"\xc1", msgpack.packb([1]), b"\x81\xa2id" * 50, b"\x91" * 3000):
            response = http.post("/v1/items", content=content)
            assert response.status_code == 400 and response.json()["code"] == "E_BODY_MALFORMED"
