from __future__ import annotations

import math
import struct
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilegeo.geo import LatLon, distance_m
from mobilegeo.metadata.exif import read_exif
from mobilegeo.metadata.ifd import byte_order, number, read_directory
from mobilegeo.metadata.lens import Calibration, LensTags, focal_px, hfov_deg
from photo_kit import exif_block, gps_tags

GPS = gps_tags(28.0, -82.0)
RATIONAL, TEXT = 5, 2


def raw_exif(gps: list[tuple[int, int, int, bytes]], order: str = ">") -> bytes:
    """EXIF with a GPS directory of (tag, type, count, value), values as raw bytes."""
    mark = b"MM" if order == ">" else b"II"
    start = 8 + 2 + 12 + 4
    heap_at = start + 2 + 12 * len(gps) + 4
    entries, heap = b"", b""
    for tag, kind, count, value in gps:
        held = value.ljust(4, b"\0")
        if len(value) > 4:
            held = struct.pack(order + "I", heap_at + len(heap))
            heap += value
        entries += struct.pack(order + "HHI", tag, kind, count) + held
    return b"".join(
        [
            mark + struct.pack(order + "HI", 42, 8),
            struct.pack(order + "HHHIII", 1, 0x8825, 4, 1, start, 0),
            struct.pack(order + "H", len(gps)) + entries + bytes(4) + heap,
        ]
    )


def rationals(*pairs: tuple[int, int], order: str = ">") -> bytes:
    return b"".join(struct.pack(order + "II", *pair) for pair in pairs)


# --- position -----------------------------------------------------------------------------------


@given(lat=st.floats(-90, 90), lon=st.floats(-180, 180))
def test_position_round_trip(lat: float, lon: float) -> None:
    exif = read_exif(exif_block(gps=gps_tags(lat, lon)))
    if exif.position is None:
        assert abs(lat) < 1e-7
        assert abs(lon) < 1e-7
    else:
        assert distance_m(exif.position, LatLon(lat, lon)) < 0.01


@pytest.mark.parametrize("order", ["<", ">"])
def test_position_by_hand(order: str) -> None:
    block = raw_exif(
        [
            (1, TEXT, 2, b"S\0"),
            (2, RATIONAL, 3, rationals((33, 1), (30, 1), (3600, 100), order=order)),
            (3, TEXT, 2, b"E\0"),
            (4, RATIONAL, 1, rationals((3021, 20), order=order)),
        ],
        order,
    )
    assert read_exif(block).position == LatLon(-33.51, 151.05)
    assert read_exif(b"Exif\0\0" + block).position == LatLon(-33.51, 151.05)


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({2: (120.0, 0.0, 0.0)}, "out of range"),
        ({4: (181.0, 0.0, 0.0)}, "out of range"),
        ({2: (28.0, 61.0, 0.0)}, "incomplete or no number"),
        ({1: "X"}, "incomplete or no number"),
        ({1: ""}, "incomplete or no number"),
        ({2: (0.0, 0.0, 0.0), 4: (0.0, 0.0, 0.0)}, "0, 0, which cameras write without reception"),
    ],
)
def test_position_that_is_none_is_ignored_with_a_note(change: dict[int, object], note: str) -> None:
    exif = read_exif(exif_block(gps=GPS | change))
    assert exif.position is None
    assert len(exif.notes) == 1
    assert note in exif.notes[0]


@pytest.mark.parametrize("missing", [1, 2, 3, 4])
def test_half_a_position_is_ignored_with_a_note(missing: int) -> None:
    exif = read_exif(exif_block(gps={tag: v for tag, v in GPS.items() if tag != missing}))
    assert exif.position is None
    assert exif.notes == ("EXIF GPS is incomplete or no number, ignored",)


def test_zero_denominators() -> None:
    block = raw_exif(
        [
            (1, TEXT, 2, b"N\0"),
            (2, RATIONAL, 3, rationals((28, 1), (0, 0), (1, 0))),
            (3, TEXT, 2, b"W\0"),
            (4, RATIONAL, 3, rationals((82, 1), (0, 1), (0, 1))),
        ]
    )
    assert read_exif(block).position is None
    assert len(read_exif(block).notes) == 1


def test_text_for_numbers() -> None:
    numbers = [(1, TEXT, 2, b"N\0"), (2, TEXT, 5, b"28 N\0"), (3, TEXT, 2, b"W\0")]
    block = raw_exif([*numbers, (4, RATIONAL, 1, rationals((82, 1)))])
    assert read_exif(block).notes == ("EXIF GPS is incomplete or no number, ignored",)


def test_no_exif_is_no_fault() -> None:
    assert read_exif(b"").notes == ()
    assert read_exif(exif_block()).notes == ()
    assert read_exif(b"Exif\0\0rubbish").notes == ("EXIF is damaged, ignored",)


# --- time and orientation -----------------------------------------------------------------------

TAKEN = "2018:04:29 12:06:46"


def test_time_by_the_cameras_clock_is_naive() -> None:
    assert read_exif(exif_block(camera={0x9003: TAKEN})).time == datetime(2018, 4, 29, 12, 6, 46)


def test_time_with_an_offset() -> None:
    camera = {0x9003: TAKEN, 0x9011: "-03:30", 0x9291: "25"}
    zone = timezone(-timedelta(hours=3, minutes=30))
    expected = datetime(2018, 4, 29, 12, 6, 46, 250_000, tzinfo=zone)
    assert read_exif(exif_block(camera=camera)).time == expected


def test_time_by_gps_where_the_offset_is_unknown() -> None:
    gps = {7: (16.0, 6.0, 45.5), 29: "2018:04:29"}
    exif = read_exif(exif_block(camera={0x9003: TAKEN}, gps=gps))
    assert exif.time == datetime(2018, 4, 29, 16, 6, 45, 500_000, tzinfo=UTC)


@pytest.mark.parametrize("written", ["0000:00:00 00:00:00", "yesterday", "", "2018:13:29 12:00:00"])
def test_time_that_is_none(written: str) -> None:
    gps = {7: (1.0, 2.0, 3.0), 29: "2018:02:30"}
    assert read_exif(exif_block(camera={0x9003: written}, gps=gps)).time is None


@pytest.mark.parametrize(("written", "read"), [(1, 1), (6, 6), (8, 8), (0, 1), (9, 1)])
def test_orientation(written: int, read: int) -> None:
    assert read_exif(exif_block({0x0112: written})).orientation == read


# --- damaged bytes ------------------------------------------------------------------------------


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    for prefix in (b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"):
        read_exif(prefix + data)


_WHOLE = exif_block(
    {0x0112: 6},
    {0x9003: TAKEN, 0x920A: 8.8, 0xA405: 24, 0x927C: b"note" * 8},
    GPS | {7: (1.0, 2.0, 3.0), 29: "2018:04:29"},
)


@given(st.lists(st.tuples(st.integers(0, len(_WHOLE) - 1), st.integers(0, 255)), max_size=6))
def test_any_damage(changes: list[tuple[int, int]]) -> None:
    data = bytearray(_WHOLE)
    for index, value in changes:
        data[index] = value
    read_exif(bytes(data))


@given(st.integers(0, len(_WHOLE)))
def test_cut_anywhere(length: int) -> None:
    read_exif(_WHOLE[:length])


def test_one_damaged_entry_costs_only_itself() -> None:
    entries = struct.pack("<HHI4s", 1, 11, 1, struct.pack("<f", 1.5))
    entries += struct.pack("<HHII", 2, 5, 1, 99_999)  # points past the end
    entries += struct.pack("<HHI4s", 3, 99, 1, bytes(4))  # of no known type
    entries += struct.pack("<HHI4s", 4, 3, 1, struct.pack("<H", 7))
    directory = read_directory(struct.pack("<H", 4) + entries, 0, "<")
    assert directory == {1: (1.5,), 4: (7.0,)}
    assert number(directory, 2) is None
    assert byte_order(b"II") is None


# --- lens ---------------------------------------------------------------------------------------


def across(equivalent_mm: float, width: int, height: int) -> float:
    focal = focal_px(LensTags(equivalent_mm=equivalent_mm), None, (width, height))
    assert focal is not None
    angle = hfov_deg(focal, width)
    assert angle is not None
    return angle


@pytest.mark.parametrize(
    ("equivalent_mm", "size", "diagonal_deg", "focal_mm", "sensor_width_mm"),
    [
        (20, (4000, 3000), 94.0, 3.61, 6.16),  # DJI Phantom 3 (FC300S)
        (24, (5280, 3956), 84.0, 12.29, 17.3),  # DJI Mavic 3 (L2D-20c)
        (24, (5472, 3648), 84.0, 8.8, 13.2),  # DJI Phantom 4 Pro (FC6310)
        (24, (4000, 3000), 83.0, 4.49, 6.3),  # DJI Mini 2 (FC7303)
    ],
)
def test_known_drones(
    equivalent_mm: float,
    size: tuple[int, int],
    diagonal_deg: float,
    focal_mm: float,
    sensor_width_mm: float,
) -> None:
    """The makers' diagonal angles, and the angle across from focal length and sensor."""
    diagonal = 2 * math.degrees(math.atan(math.hypot(36, 24) / 2 / equivalent_mm))
    assert diagonal == pytest.approx(diagonal_deg, abs=1.1)
    by_sensor = 2 * math.degrees(math.atan(sensor_width_mm / 2 / focal_mm))
    assert across(equivalent_mm, *size) == pytest.approx(by_sensor, abs=2.0)


def test_equivalent_by_hand() -> None:
    # A 4:3 image has 4/5 of the diagonal as its width: 34.6 mm of film.
    expected = 2 * math.degrees(math.atan(0.8 * 43.2666 / 2 / 20))
    assert across(20, 4000, 3000) == pytest.approx(expected, abs=1e-3)
    assert across(20, 800, 600) == pytest.approx(expected, abs=1e-3)
    # On film's own shape it is the 36 mm of the film.
    assert across(36, 3000, 2000) == pytest.approx(2 * math.degrees(math.atan(0.5)))


def test_pixel_pitch_follows_a_reduced_copy() -> None:
    tags = LensTags(focal_mm=4.5, pixel_pitch_mm=25.4 / 16393.44, original_width_px=4000)
    full, small = (focal_px(tags, None, size) for size in ((4000, 3000), (1000, 750)))
    assert full == pytest.approx(4.5 / 25.4 * 16393.44)
    assert small == pytest.approx(full / 4)


@pytest.mark.parametrize("pitch", [1e-6, 1.0])
def test_impossible_sensors_are_ignored(pitch: float) -> None:
    tags = LensTags(focal_mm=4.5, pixel_pitch_mm=pitch, original_width_px=4000)
    assert focal_px(tags, None, (4000, 3000)) is None


def test_digital_zoom_narrows() -> None:
    plain = focal_px(LensTags(equivalent_mm=24), None, (4000, 3000))
    zoomed = focal_px(LensTags(equivalent_mm=24, zoom=2.0), None, (4000, 3000))
    assert plain is not None
    assert zoomed == pytest.approx(2 * plain)


def test_calibration_of_this_image_comes_first() -> None:
    tags, calibration = LensTags(equivalent_mm=24), Calibration(3666.67, 2736.0, 1824.0)
    assert focal_px(tags, calibration, (5472, 3648)) == pytest.approx(3666.67)
    assert focal_px(tags, calibration, (2736, 1824)) == pytest.approx(3666.67 / 2)
    nominal = focal_px(tags, None, (5472, 3078))
    assert focal_px(tags, calibration, (5472, 3078)) == nominal  # a crop
    wrong = Calibration(10.26, 2736.0, 1824.0)  # millimetres
    assert focal_px(tags, wrong, (5472, 3648)) == focal_px(tags, None, (5472, 3648))


@given(
    st.builds(
        LensTags,
        focal_mm=st.none() | st.floats(min_value=0, exclude_min=True, allow_infinity=False),
        equivalent_mm=st.none() | st.floats(min_value=0, exclude_min=True, allow_infinity=False),
        pixel_pitch_mm=st.none() | st.floats(min_value=0),
        original_width_px=st.none() | st.floats(min_value=0, exclude_min=True),
        zoom=st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    ),
    st.none() | st.builds(Calibration, *[st.floats(allow_nan=False, allow_infinity=False)] * 3),
)
def test_any_lens(tags: LensTags, calibration: Calibration | None) -> None:
    focal = focal_px(tags, calibration, (4000, 3000))
    angle = None if focal is None else hfov_deg(focal, 4000)
    assert angle is None or 1.0 <= angle <= 170.0
