from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from mobilegeo.camera import CameraModel, Pose
from mobilegeo.decode import MAX_PIXELS
from mobilegeo.errors import PhotoError, UsageError
from mobilegeo.geo import LatLon
from mobilegeo.metadata.telemetry import Telemetry
from mobilegeo.photo import Photo, open_photo, read_metadata, read_photo
from photo_kit import dji_packet, exif_block, gps_tags, maker_note, save_jpeg

DJI = {"GimbalYawDegree": "+30.0", "GimbalPitchDegree": "-80.0", "GimbalRollDegree": "+0.0"}
EXIF = exif_block({0x0112: 1}, {0x9003: "2024:05:06 07:08:09", 0xA405: 24}, gps_tags(28.5, -82.5))


@pytest.fixture
def dji_photo(tmp_path: Path) -> Path:
    packet = dji_packet(**DJI, RelativeAltitude="+99.9")
    return save_jpeg(tmp_path / "DJI_0001.JPG", exif=EXIF, xmp=packet)


# --- what is known ------------------------------------------------------------------------------


def test_photo_with_all_metadata(dji_photo: Path) -> None:
    photo = read_photo(dji_photo)
    assert photo.image.shape == (48, 64, 3)
    assert photo.image.dtype == np.uint8
    assert photo.source == str(dji_photo)
    assert photo.full_size == (64, 48)
    assert photo.time == datetime(2024, 5, 6, 7, 8, 9)
    assert photo.gps == LatLon(28.5, -82.5)
    assert photo.pose == Pose(30.0, -80.0, 0.0, 99.9)
    assert photo.camera is not None
    assert photo.camera.hfov_deg == pytest.approx(71.59, abs=0.01)
    assert photo.telemetry.agl_m == 99.9
    assert photo.notes == ("height is above the take-off, not the ground",)


def test_bare_photo_knows_nothing(tmp_path: Path) -> None:
    photo = read_photo(save_jpeg(tmp_path / "bare.jpg"))
    assert (photo.time, photo.gps, photo.pose, photo.camera) == (None, None, None, None)
    assert photo.telemetry == Telemetry()
    assert photo.notes == ()


def test_metadata_alone_agree(dji_photo: Path) -> None:
    metadata = read_metadata(dji_photo)
    opened = open_photo(dji_photo)
    photo = opened.decode()
    assert metadata == opened.metadata
    assert isinstance(photo, Photo)
    for name in ("source", "full_size", "time", "gps", "pose", "camera", "telemetry", "notes"):
        assert getattr(photo, name) == getattr(metadata, name)


def test_command_line_before_table_before_photo(dji_photo: Path) -> None:
    metadata = read_metadata(
        dji_photo,
        telemetry=Telemetry(heading_deg=1.0, pitch_deg=-1.0, lat=1.0, lon=2.0),
        overrides=Telemetry(heading_deg=9.0, hfov_deg=50.0),
    )
    assert metadata.pose == Pose(9.0, -1.0, 0.0, 99.9)
    assert metadata.camera == CameraModel(50.0)
    assert metadata.gps == LatLon(28.5, -82.5)
    assert metadata.telemetry.position == LatLon(1.0, 2.0)


def test_position_without_the_photos_own(dji_photo: Path) -> None:
    own = read_metadata(dji_photo)
    assert own.position() == LatLon(28.5, -82.5)
    assert own.position(ignore_gps=True) is None
    told = read_metadata(dji_photo, telemetry=Telemetry(lat=1.0, lon=2.0))
    assert told.position(ignore_gps=True) == LatLon(1.0, 2.0)


def test_maker_note_where_there_is_no_xmp(tmp_path: Path) -> None:
    block = exif_block(camera={0x927C: maker_note((-75.0, -90.0, 0.0), 1.0)})
    pose = read_metadata(save_jpeg(tmp_path / "a.jpg", exif=block)).pose
    assert pose == Pose(270.0, -75.0, 0.0)


def test_xmp_in_several_segments(tmp_path: Path) -> None:
    plain = save_jpeg(tmp_path / "a.jpg").read_bytes()
    packet = b"http://ns.adobe.com/xap/1.0/\0" + dji_packet(**DJI)
    other = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>"
    segments = [b"\xff\xe1" + struct.pack(">H", len(p) + 2) + p for p in (packet, other)]
    (tmp_path / "b.jpg").write_bytes(plain[:2] + b"".join(segments) + plain[2:])
    assert read_metadata(tmp_path / "b.jpg").pose == Pose(30.0, -80.0, 0.0)


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_metadata_in_other_formats(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    image = Image.new("RGB", (64, 48))
    exif = Image.Exif()
    exif.load(EXIF)
    packet = dji_packet(**DJI)
    if suffix == "tif":
        exif[700] = packet
        image.save(path, exif=exif)
    elif suffix == "png":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet.decode())
        image.save(path, exif=exif, pnginfo=info)
    else:
        image.save(path, exif=exif, xmp=packet)
    metadata = read_metadata(path)
    assert metadata.gps == LatLon(28.5, -82.5)
    assert metadata.pose == Pose(30.0, -80.0, 0.0)


def test_impossible_exif_does_not_cost_the_photo(tmp_path: Path) -> None:
    gps = gps_tags(28.5, -82.5) | {2: (128.0, 0.0, 0.0)}
    photo = read_photo(save_jpeg(tmp_path / "a.jpg", exif=exif_block(gps=gps)))
    assert photo.gps is None
    assert photo.notes == ("EXIF GPS out of range, ignored",)


@given(st.binary(max_size=120), st.binary(max_size=120))
@settings(max_examples=40)
def test_any_metadata_leave_the_pixels(
    tmp_path_factory: pytest.TempPathFactory, exif: bytes, xmp: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.jpg"
    save_jpeg(path, exif=b"Exif\0\0MM\0*" + exif, xmp=xmp or None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_photo(path).image.shape == (48, 64, 3)


# --- orientation --------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_as_pillow_applies_it(tmp_path: Path, orientation: int) -> None:
    path = save_jpeg(tmp_path / "a.jpg", exif=exif_block({0x0112: orientation}, {0xA405: 24}))
    photo = read_photo(path)
    with Image.open(path) as image:
        expected = ImageOps.exif_transpose(image)
    assert np.array_equal(photo.image, np.asarray(expected))
    assert photo.full_size == expected.size
    assert photo.camera is not None
    diagonal = np.degrees(2 * np.arctan(np.hypot(36, 24) / 2 / 24))
    across = photo.camera.focal_px(photo.full_size[0])
    corner = np.degrees(2 * np.arctan(np.hypot(*photo.full_size) / 2 / across))
    assert corner == pytest.approx(diagonal)


def test_attitude_is_that_of_the_displayed_image(tmp_path: Path) -> None:
    straight_down = dji_packet(**(DJI | {"GimbalPitchDegree": "-90.0"}))
    path = save_jpeg(tmp_path / "a.jpg", exif=exif_block({0x0112: 6}), xmp=straight_down)
    assert read_metadata(path).pose == Pose(300.0, -90.0, 0.0)


def test_given_heading_is_not_turned_by_the_photos_own_roll(tmp_path: Path) -> None:
    path = save_jpeg(tmp_path / "a.jpg", exif=exif_block({0x0112: 6}), xmp=dji_packet(**DJI))
    assert read_metadata(path).pose == Pose(30.0, -80.0, -90.0)
    told = read_metadata(path, overrides=Telemetry(heading_deg=10.0))
    assert told.pose == Pose(10.0, -80.0, None)


def test_mirrored_photo_keeps_its_pixels_and_loses_its_attitude(tmp_path: Path) -> None:
    path = save_jpeg(tmp_path / "a.jpg", exif=exif_block({0x0112: 2}), xmp=dji_packet(**DJI))
    photo = read_photo(path)
    assert photo.pose is None
    assert photo.notes == ("attitude ignored, the image is stored mirrored",)


# --- scale --------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize(
    ("min_side_px", "size"),
    [
        (None, (801, 602)),
        (602, (801, 602)),
        (302, (801, 602)),
        (301, (401, 301)),
        (150, (201, 151)),
        (75, (101, 76)),
        (1, (101, 76)),
        (5000, (801, 602)),
    ],
)
def test_reduced_decoding(
    tmp_path: Path, suffix: str, min_side_px: int | None, size: tuple[int, int]
) -> None:
    path = tmp_path / f"a.{suffix}"
    ramp = np.add.outer(np.linspace(0, 120, 602), np.linspace(0, 120, 801)).astype(np.uint8)
    Image.fromarray(np.stack([ramp] * 3, axis=2)).save(path)
    photo = read_photo(path, min_side_px=min_side_px)
    assert photo.image.shape == (size[1], size[0], 3)
    assert photo.full_size == (801, 602)
    expected = np.asarray(Image.fromarray(ramp).resize(size, Image.Resampling.BOX), dtype=float)
    assert np.abs(photo.image[:, :, 0] - expected).max() < 6


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("L", {}),
        ("RGB", {"subsampling": "4:2:0"}),
        ("RGB", {"subsampling": "4:4:4"}),
        ("RGB", {"subsampling": "4:2:2", "progressive": True}),
        ("RGB", {"keep_rgb": True}),
        ("CMYK", {}),
    ],
)
def test_pixels_are_those_of_pillow(
    tmp_path: Path, factor: int, mode: str, options: dict[str, object]
) -> None:
    path = tmp_path / "a.jpg"
    noise = np.random.default_rng(0).normal(128, 40, (50, 67, 4 if mode == "CMYK" else 3))
    noise = np.clip(cv2.GaussianBlur(noise, (0, 0), 1.5), 0, 255).astype(np.uint8)
    image = Image.fromarray(noise, "CMYK") if mode == "CMYK" else Image.fromarray(noise)
    image.convert(mode).save(path, quality=92, **options)
    with Image.open(path) as reference:
        reference.draft(None, (67 // factor, 50 // factor))
        expected = np.asarray(reference.convert("RGB"))
    assert np.array_equal(read_photo(path, min_side_px=50 // factor).image, expected)


def test_scale_that_cannot_be_meant(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="min_side_px 0: is not positive"):
        read_photo(save_jpeg(tmp_path / "a.jpg"), min_side_px=0)


def test_image_is_contiguous_and_writeable(tmp_path: Path) -> None:
    for orientation in (1, 6):
        path = save_jpeg(tmp_path / "a.jpg", exif=exif_block({0x0112: orientation}))
        image = read_photo(path).image
        assert image.flags.c_contiguous
        assert image.flags.writeable


_PEAK = """
import resource, sys
from mobilegeo.photo import read_photo
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert min(read_photo(sys.argv[1], min_side_px=512).image.shape[:2]) >= 512
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in kilobytes on Linux")
def test_large_photo_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (12_000, 8_400), (90, 120, 60)).save(path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    peak = subprocess.run(
        [sys.executable, "-c", _PEAK, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert int(peak.stdout) < 200_000


# --- kinds of pixels ----------------------------------------------------------------------------


def blocks(mode: str) -> Image.Image:
    """An image of a mode: grey 200 with a dark left half."""
    grey = Image.new("L", (32, 16), 200)
    grey.paste(40, (0, 0, 16, 16))
    if mode == "I;16":
        return Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    return grey.convert(mode)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("L", "jpg"),
        ("RGB", "jpg"),
        ("CMYK", "jpg"),
        ("LA", "png"),
        ("P", "png"),
        ("RGBA", "png"),
        ("RGBA", "webp"),
        ("I;16", "png"),
        ("I;16", "tif"),
        ("L", "tif"),
    ],
)
def test_every_kind_becomes_rgb(tmp_path: Path, mode: str, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    blocks(mode).save(path)
    image = read_photo(path).image
    assert image.shape == (16, 32, 3)
    assert np.abs(image[:, :12].astype(int) - 40).max() <= 3
    assert np.abs(image[:, 20:].astype(int) - 200).max() <= 3


def test_one_bit(tmp_path: Path) -> None:
    blocks("L").point(lambda v: 255 * (v > 100), mode="1").save(tmp_path / "a.png")
    assert np.unique(read_photo(tmp_path / "a.png").image).tolist() == [0, 255]


def test_transparency_is_ignored(tmp_path: Path) -> None:
    image = Image.new("RGBA", (32, 16), (10, 20, 30, 0))
    image.save(tmp_path / "a.png")
    image.quantize(4).save(tmp_path / "b.png", transparency=bytes([0, 0, 0, 0]))
    for name in ("a.png", "b.png"):
        assert np.unique(read_photo(tmp_path / name).image).tolist() == [10, 20, 30]


def test_sixteen_bit_colour_keeps_the_high_byte(tmp_path: Path) -> None:
    import cv2

    pixels = np.full((16, 32, 3), (0x1234, 0x5678, 0x9ABC), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)  # OpenCV's order is blue, green, red
    assert np.unique(read_photo(tmp_path / "a.png").image.reshape(-1, 3), axis=0).tolist() == [
        [0x9A, 0x56, 0x12]
    ]


@pytest.mark.parametrize("suffix", ["tif", "webp", "png"])
def test_first_page_counts(tmp_path: Path, suffix: str) -> None:
    pages = [Image.new("RGB", (32, 16), (shade, shade, shade)) for shade in (10, 200)]
    extra = {"lossless": True} if suffix == "webp" else {}
    pages[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=pages[1:], **extra)
    assert np.unique(read_photo(tmp_path / f"a.{suffix}").image).tolist() == [10]


# --- what cannot be read ------------------------------------------------------------------------


def refuses(path: Path, match: str) -> None:
    for read in (read_photo, read_metadata):
        with pytest.raises(PhotoError, match=match) as caught:
            read(path)
        assert caught.value.where == str(path)
        assert caught.value.cure


def test_missing_and_folders(tmp_path: Path) -> None:
    refuses(tmp_path / "gone.jpg", r"gone\.jpg: does not exist; check the path")
    refuses(tmp_path, "is not a file; give photos")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_named_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    refuses(tmp_path / "a.jpg", "is not a file")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", r"is empty \(0 bytes\); copy it"),
        (b"not a photo at all", "is no image of a supported kind .*convert it to JPEG"),
        (b"GIF89a" + bytes(50), "is no image of a supported kind"),
        (b"\0\0\0\x18ftypheic" + bytes(50), "is a HEIC or AVIF image, which is not supported"),
        (b"\xff\xd8\xff", "is damaged or cut off"),
        (b"\xff\xd8\xff\xe0" + b"no JPEG behind these bytes", "is damaged or cut off"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "is damaged or cut off"),
        (b"II*\0\x08\0\0\0" + bytes(20), "is damaged or cut off"),
        (b"RIFF\x20\0\0\0WEBPVP8 " + bytes(20), "is damaged or cut off"),
    ],
)
def test_contents_that_are_no_photo(tmp_path: Path, content: bytes, match: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    refuses(path, match)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("min_side_px", [None, 64])
def test_cut_off_photo_is_refused(tmp_path: Path, suffix: str, min_side_px: int | None) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.effect_noise((640, 480), 80).convert("RGB").save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(PhotoError, match=r"is damaged or cut off .*; copy it from the camera"):
        read_photo(path, min_side_px=min_side_px)


def test_cut_off_progressive_photo_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.effect_noise((640, 480), 80).save(path, progressive=True)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(PhotoError, match="is damaged or cut off"):
        read_photo(path)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds one line of zeros."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(bytes(width + 1)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + body + chunk(b"IEND", b"")


@pytest.mark.timeout(5)
def test_bombs_are_refused_by_their_header(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_header(50_000, 50_000))
    refuses(path, r"has 50000 × 50000 pixels, over 200,000,000; reduce or cut it")
    jpeg = bytearray(save_jpeg(tmp_path / "a.jpg").read_bytes())
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 65_000, 65_000)
    (tmp_path / "a.jpg").write_bytes(jpeg)
    refuses(tmp_path / "a.jpg", "has 65000 × 65000 pixels")
    assert MAX_PIXELS < 65_000 * 65_000


def test_sparse_giant_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.touch()
    os.truncate(path, 5 << 30)
    refuses(path, "has 5,368,709,120 bytes, over")


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_unknown_range(tmp_path: Path, mode: str) -> None:
    Image.new("L", (32, 16), 9).convert(mode).save(tmp_path / "a.tif")
    with pytest.raises(PhotoError, match="has 32-bit pixels, whose range is not known; scale it"):
        read_photo(tmp_path / "a.tif")


@pytest.mark.parametrize("tags", [{0xC612: b"\1\4\0\0"}, {0x00FE: 1}])
def test_raw_photo_is_not_read_by_its_preview(tmp_path: Path, tags: dict[int, object]) -> None:
    Image.new("RGB", (32, 16)).save(tmp_path / "a.dng", "TIFF", tiffinfo=tags)
    refuses(tmp_path / "a.dng", "is a raw image, of which only a preview could be read; convert")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(tmp_path: Path) -> None:
    path = save_jpeg(tmp_path / "a.jpg")
    path.chmod(0)
    refuses(path, r"cannot be opened \(Permission denied\); check its permissions")


def _plain_jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((64, 48), 80).convert("RGB").save(buffer, "JPEG", exif=EXIF)
    return buffer.getvalue()


_PLAIN = _plain_jpeg()


@given(st.lists(st.tuples(st.integers(3, len(_PLAIN) - 1), st.integers(0, 255)), max_size=5))
@settings(max_examples=60)
def test_any_damage_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(_PLAIN)
    for index, value in changes:
        data[index] = value
    path = tmp_path_factory.mktemp("any") / "a.jpg"
    path.write_bytes(data)
    try:
        photo = read_photo(path, min_side_px=256)
    except PhotoError:
        return
    assert photo.image.ndim == 3
