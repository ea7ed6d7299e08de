"""What is compressed inside of what is sent is never unpacked beyond a bound: text and profiles in pictures, bodies in gzip."""

import gzip
import io
import struct
import tracemalloc
import zlib

import msgpack
import pytest
from support.service import Service, post_item
from support.tiny_bundle import picture

from sightline_shared.errors import ImageTooLarge, ImageUnreadable
from sightline_shared.preprocess import load_image
from sightline_shared.protocol import Query, pack_query

BOMB_BYTES = 200 * 2**20
MOST_BYTES = 16 * 2**20


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def zeros() -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(BOMB_BYTES // 2**20)) + packer.flush()


def png_with(*chunks: bytes) -> bytes:
    """A real PNG whose chunks come right behind its header."""
    buffer = io.BytesIO()
    picture(1).save(buffer, "PNG")
    data = buffer.getvalue()
    after_header = 8 + 25
    return data[:after_header] + b"".join(chunks) + data[after_header:]


BOMBS = {
    "text": lambda: png_with(chunk(b"zTXt", b"Comment\0\0" + zeros())),
    "unicode text": lambda: png_with(chunk(b"iTXt", b"Comment\0\x01\0\0\0" + zeros())),
    "colour profile": lambda: png_with(chunk(b"iCCP", b"profile\0\0" + zeros())),
    "many texts": lambda: png_with(*[chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**20)))] * 200),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_is_packed_in_a_picture_takes_no_memory(name: str) -> None:
    bomb = BOMBS[name]()
    assert len(bomb) < 2**20
    tracemalloc.start()
    try:
        load_image(bomb, name="bomb")
    except (ImageUnreadable, ImageTooLarge):
        pass  # either is an answer; a picture without what was packed in it is one, too
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < MOST_BYTES


def test_the_service_answers_on_after_packed_pictures_and_unpacks_no_body(service: Service) -> None:
    codes, pairing_id = (bytes(64),), service.device.bundle.pairing.id
    query = pack_query(Query(pairing_id=pairing_id, codes=codes, request_id=b"12345678"))
    with service.http() as http:
        for name, made in BOMBS.items():
            answer = post_item(http, f"bomb-{name.replace(' ', '-')}", made(), {})
            assert answer.status_code in (200, 413, 422), (name, answer.text)
        packed = gzip.compress(bytes(BOMB_BYTES))
        head = {"content-type": "application/msgpack", "content-encoding": "gzip"}
        refused = http.post("/v1/search", content=packed, headers=head)
        assert (refused.status_code, msgpack.unpackb(refused.content)["code"]) == (413, "E_BODY_TOO_LARGE")
        refused = http.post("/v1/search", content=gzip.compress(query), headers=head)
        assert (refused.status_code, msgpack.unpackb(refused.content)["code"]) == (400, "E_BODY_MALFORMED")
        assert http.get("/healthz").status_code == 200
