"""Pictures built to keep a decoder busy are refused by their headers, before a pixel is decoded."""

import io

import pytest
from PIL import Image
from support.service import Service, post_item
from support.tiny_bundle import picture

from sightline_shared import preprocess
from sightline_shared.errors import ImageTooLarge
from sightline_shared.preprocess import MAX_SCANS, load_image


def progressive(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", progressive=True, quality=80)
    return buffer.getvalue()


def scan_bomb(size: tuple[int, int], scans: int) -> bytes:
    """A progressive JPEG whose last scan is there `scans` times more."""
    data = progressive(Image.new("RGB", size, (120, 130, 140)))
    last = data.rindex(b"\xff\xda")
    segment = data[data.rindex(b"\xff\xc4", 0, last) : -2]  # with its Huffman table
    return data[:-2] + segment * scans + b"\xff\xd9"


def test_a_jpeg_of_thousands_of_scans_is_not_even_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoded it would take a core a quarter of an hour."""
    bomb = scan_bomb((7900, 7900), 20_000)
    assert len(bomb) < 3 * 1024 * 1024
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(ImageTooLarge, match=f"a JPEG of at most {MAX_SCANS} scans, got 200"):
        load_image(bomb, name="bomb")


def test_ordinary_progressive_pictures_are_read_and_so_are_the_most_scans_allowed() -> None:
    assert load_image(progressive(picture(1))).size == picture(1).size
    own = preprocess._scans(progressive(Image.new("RGB", (64, 64))))
    assert 1 < own < 20
    assert load_image(scan_bomb((64, 64), MAX_SCANS - own)).size == (64, 64)
    with pytest.raises(ImageTooLarge):
        load_image(scan_bomb((64, 64), MAX_SCANS - own + 1))


def test_what_only_looks_like_scans_is_not_counted() -> None:
    """A film behind the picture, as phones append it, and the bytes of other segments."""
    data = progressive(picture(2))
    scans = preprocess._scans(data)
    assert preprocess._scans(data + b"\xff\xda\x00\x02" * 10_000) == scans
    comment = b"\xff\xda\x00\x02" * 10_000
    with_comment = data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:]
    assert preprocess._scans(with_comment) == scans
    assert load_image(with_comment).size == picture(2).size


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xda", b"\xff\xd8\xff\xda\x00\x00" * 9]
)
def test_counting_ends_on_any_bytes(data: bytes) -> None:
    assert preprocess._scans(data) <= 9


def test_the_service_refuses_a_scan_bomb_and_answers_on(service: Service) -> None:
    with service.http() as http:
        refused = post_item(http, "bomb", scan_bomb((7900, 7900), 5000), {})
        assert (refused.status_code, refused.json()["code"]) == (413, "E_IMAGE_TOO_LARGE")
        assert http.get("/v1/items/item/1").status_code == 200
