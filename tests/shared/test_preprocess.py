"""The pixel specification: orientation, crop, one antialiased resize; and pictures that are none."""

import io

import numpy as np
import pytest
from PIL import Image

from sightline_shared import preprocess
from sightline_shared.errors import ImageTooLarge, ImageUnreadable, InputError
from sightline_shared.preprocess import load_image, to_tensor


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth noise: every region differs, no edge is aliased."""
    small = np.random.default_rng(seed).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def slow_tensor(pixels: np.ndarray, size: int) -> np.ndarray:
    """Steps 2 to 4 as shared/README.md writes them out for a port: integers, one output at a time."""
    height, width = pixels.shape[:2]
    crop_width, crop_height = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    left, top = (width - crop_width) // 2, (height - crop_height) // 2
    pixels = pixels[top : top + crop_height, left : left + crop_width]
    block = min(crop_width, crop_height) // size
    if block >= 2:
        pixels = slow_blocks(pixels, block)
    standing = slow_row_resize(pixels.transpose(1, 0, 2), size).transpose(1, 0, 2)
    return slow_row_resize(standing, size)


def slow_blocks(pixels: np.ndarray, block: int) -> np.ndarray:
    rows, columns = -(-pixels.shape[0] // block), -(-pixels.shape[1] // block)
    made = np.empty((rows, columns, 3), np.uint8)
    for i in range(rows):
        for j in range(columns):
            part = pixels[i * block : (i + 1) * block, j * block : (j + 1) * block].reshape(-1, 3).astype(np.int64)
            n = len(part)
            made[i, j] = ((part.sum(axis=0) + n // 2) * (2**24 // n)) >> 24
    return made


def slow_row_resize(pixels: np.ndarray, size: int) -> np.ndarray:
    made = np.empty((len(pixels), size, 3), np.uint8)
    scale = pixels.shape[1] / size
    reach = max(scale, 1.0)
    for i in range(size):
        centre = (i + 0.5) * scale
        first, end = max(0, int(centre - reach + 0.5)), min(pixels.shape[1], int(centre + reach + 0.5))
        weights = [max(0.0, 1 - abs(j + 0.5 - centre) / reach) for j in range(first, end)]
        integers = [int(weight / sum(weights) * 2**22 + 0.5) for weight in weights]
        level = np.tensordot(pixels[:, first:end].astype(np.int64), integers, axes=(1, 0))
        made[:, i] = np.clip((level + 2**21) >> 22, 0, 255)
    return made


@pytest.mark.parametrize(
    ("width", "height"),
    [(96, 96), (256, 192), (50, 60), (191, 191), (192, 256), (200, 195), (293, 409), (520, 301), (402, 1000)],
)
def test_the_tensor_is_the_specified_integers(width: int, height: int) -> None:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    np.testing.assert_array_equal(to_tensor(Image.fromarray(pixels), 96), slow_tensor(pixels, 96))


def test_a_large_frame_is_averaged_over_whole_blocks_first() -> None:
    image = picture(1201, 900)
    pixels = np.asarray(image)[:, :1200]
    reduced = Image.fromarray(slow_blocks(pixels, 900 // 192))
    assert min(reduced.size) >= 192
    expected = to_tensor(reduced, 192)
    np.testing.assert_array_equal(to_tensor(image, 192), expected)
    direct = np.asarray(image.crop((0, 0, 1200, 900)).resize((192, 192), Image.Resampling.BILINEAR))
    assert np.abs(expected.astype(int) - direct.astype(int)).mean() < 1.5


def test_a_tall_frame_is_cropped_to_4_3_before_it_is_squashed() -> None:
    tall = picture(300, 900)
    middle = tall.crop((0, 250, 300, 650))
    np.testing.assert_array_equal(to_tensor(tall, 192), to_tensor(middle, 192))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(orientation: int) -> None:
    upright = picture(120, 90)
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    loaded = load_image(encoded(stored, exif=exif))
    np.testing.assert_array_equal(np.asarray(loaded), np.asarray(upright))


def test_paths_bytes_images_and_arrays_give_the_same_tensor(tmp_path) -> None:
    image = picture(100, 80)
    (tmp_path / "a.png").write_bytes(encoded(image))
    sources = [tmp_path / "a.png", str(tmp_path / "a.png"), encoded(image), image, np.asarray(image)]
    tensors = [to_tensor(load_image(source), 64) for source in sources]
    assert all((tensor == tensors[0]).all() for tensor in tensors)
    assert tensors[0].shape == (64, 64, 3) and tensors[0].dtype == np.uint8


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1", "I;16"])
def test_other_modes_become_rgb(mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.full((20, 30), 200 * 256, np.uint16))
        kind = "PNG"
    else:
        image, kind = picture(30, 20).convert("RGBA" if mode == "LA" else "RGB").convert(mode), "PNG"
        kind = "JPEG" if mode == "CMYK" else kind
    loaded = load_image(encoded(image, kind))
    assert loaded.mode == "RGB" and loaded.size == (30, 20)
    if mode == "I;16":
        assert np.asarray(loaded)[0, 0].tolist() == [200, 200, 200]


def test_transparency_is_laid_over_white() -> None:
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert np.asarray(load_image(encoded(clear))).min() == 255


def test_a_large_jpeg_decoded_at_reduced_scale_looks_the_same_to_the_model() -> None:
    image = picture(3200, 2400)
    reduced = to_tensor(load_image(encoded(image, "JPEG", quality=95)), 192).astype(float)
    whole = to_tensor(image, 192).astype(float)
    assert np.abs(reduced - whole).mean() < 1.5


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"GIF89a" + bytes(100), b"\xff\xd8\xff\xe0" + bytes(50), b"\x89PNG\r\n\x1a\n" + bytes(30)]
)
def test_bytes_that_are_no_picture_are_refused(data: bytes) -> None:
    with pytest.raises(ImageUnreadable):
        load_image(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_picture_that_is_cut_off_is_refused(kind: str, share: float) -> None:
    data = encoded(picture(200, 150), kind)
    with pytest.raises(ImageUnreadable, match=r"damaged|something else"):
        load_image(data[: int(len(data) * share)])


def test_a_missing_file_a_folder_and_an_empty_path_are_named(tmp_path) -> None:
    for path in (tmp_path / "none.jpg", tmp_path, ""):
        with pytest.raises(ImageUnreadable):
            load_image(path)


def pixel_bomb(width: int, height: int) -> bytes:
    """A valid PNG header that claims a huge picture."""
    import struct
    import zlib

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    body = zlib.compress(bytes(1000))
    chunk = b"IDAT" + body
    return b"\x89PNG\r\n\x1a\n" + data + struct.pack(">I", len(body)) + chunk + struct.pack(">I", zlib.crc32(chunk))


@pytest.mark.parametrize(("width", "height"), [(9000, 9000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_a_pixel_bomb_is_refused_from_its_header(width: int, height: int) -> None:
    with pytest.raises(ImageTooLarge, match="expected at most 64000000 pixels"):
        load_image(pixel_bomb(width, height))


def test_a_file_past_the_cap_is_not_read(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(preprocess, "MAX_FILE_BYTES", 100)
    path = tmp_path / "big.png"
    path.write_bytes(encoded(picture(100, 100)))
    for source in (path, path.read_bytes()):
        with pytest.raises(ImageTooLarge, match="expected at most 100 bytes"):
            load_image(source)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5, 3), np.float32),
        np.zeros((0, 5, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_rgb_frame_are_named(array: np.ndarray) -> None:
    with pytest.raises(InputError):
        load_image(array)
