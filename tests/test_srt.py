"""Subtitle telemetry: every known dialect, and what is left of broken files."""
# ruff: noqa: E501 - the samples are lines as drones write them

from __future__ import annotations

import math
import re
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilegeo.errors import UsageError
from mobilegeo.metadata.srt import parse_srt, read_srt
from mobilegeo.metadata.telemetry import Telemetry

PHANTOM_3 = """1
00:00:01,000 --> 00:00:02,000
HOME(149.0251,-20.2532) 2017.08.05 14:11:51
GPS(149.0251,-20.2533,16) BAROMETER:1.9
ISO:100 Shutter:60 EV: Fnum:F2.8
"""
PHANTOM_4 = """7
00:00:06,500 --> 00:00:07,500
F/2.8, SS 206.14, ISO 100, EV 0, GPS (12.5412, 55.6801, 15), D 24.43m, H 36.00m, H.S 0.30m/s, V.S -0.00m/s
"""
PHANTOM_4_RTK = """1
00:00:00,000 --> 00:00:01,000
F/6.3, SS 60, ISO 100, EV 0, RTK (120.083799, 31.530402, 16), HOME (120.0, 31.5, -76.70m), D 172.96m, H 100.50m, H.S 5.53m/s, V.S 0.00m/s, F.PRY (-6.7°, -2.9°, 93.4°), G.PRY (-90.0°, 0.0°, 191.2°)
"""
AUTEL = """1
00:00:00,000 --> 00:00:01,000
HOME(W: 122.100000, N: 24.120000) 2019-06-20 10:11:12
GPS(W: 122.154321, N: 24.123456, 19.50m)
ISO:110 SHUTTER:1000 EV:-0.7 F-NUM:1.8
F.PRY (1.6°, -2.5°, 52.7°), G.PRY (-45.0°, 0.5°, 53.5°)
"""
MAVIC_2 = """1
00:00:00,000 --> 00:00:00,033
<font size="36">FrameCnt : 1, DiffTime : 33ms
2019-09-06 19:12:11,697,125
[iso : 100] [shutter : 1/1250.0] [fnum : 280] [ev : 0] [ct : 5300] [color_md : default] [focal_len : 240] [latitude : 47.608553] [longtitude : -122.963763] [altitude: 1.57] </font>
"""
MAVIC_3 = """2
00:00:00,033 --> 00:00:00,066
<font size="28">FrameCnt: 2, DiffTime: 33ms
2022-07-19 14:48:06.502
[iso: 100] [shutter: 1/640.0] [fnum: 2.8] [ev: 0] [color_md: default] [focal_len: 24.00] [dzoom_ratio: 1.00], [latitude: 59.302335] [longitude: 18.203059] [rel_alt: 41.300 abs_alt: 132.860] [ct: 5000] [gb_yaw: -35.7 gb_pitch: -60.0 gb_roll: 0.1] </font>
"""
SOUTH = """1
00:00:00,000 --> 00:00:01,000
GPS(S: 33.9, E: 18.4, 19m) BAROMETER: -3.0
"""


def only(text):
    parsed = parse_srt(text)
    assert len(parsed.blocks) == 1
    assert parsed.skipped == 0
    return parsed.blocks[0]


@pytest.mark.parametrize(
    ("text", "time_s", "telemetry"),
    [
        (PHANTOM_3, 1.0, Telemetry(agl_m=1.9, lat=-20.2533, lon=149.0251)),
        (PHANTOM_4, 6.5, Telemetry(agl_m=36.0, lat=55.6801, lon=12.5412)),
        (
            PHANTOM_4_RTK,
            0.0,
            Telemetry(-168.8, -90.0, 0.0, 100.5, None, 31.530402, 120.083799),
        ),
        (AUTEL, 0.0, Telemetry(53.5, -45.0, 0.5, None, None, 24.123456, -122.154321)),
        (MAVIC_2, 0.0, Telemetry(lat=47.608553, lon=-122.963763)),
        (
            MAVIC_3,
            0.033,
            Telemetry(-35.7, -60.0, 0.1, 41.3, None, 59.302335, 18.203059),
        ),
        (SOUTH, 0.0, Telemetry(lat=-33.9, lon=18.4)),
    ],
    ids=["phantom 3", "phantom 4", "rtk", "autel", "mavic 2", "mavic 3", "south"],
)
def test_dialects(text, time_s, telemetry) -> None:
    block = only(text)
    assert block.time_s == pytest.approx(time_s)
    for name in ("heading_deg", "pitch_deg", "roll_deg", "agl_m", "lat", "lon"):
        expected = getattr(telemetry, name)
        assert getattr(block.telemetry, name) == (
            None if expected is None else pytest.approx(expected)
        ), name


def test_clocks() -> None:
    assert only(PHANTOM_3).clock == datetime(2017, 8, 5, 14, 11, 51)
    assert only(MAVIC_2).clock == datetime(2019, 9, 6, 19, 12, 11, 697_000)
    assert only(MAVIC_3).clock == datetime(2022, 7, 19, 14, 48, 6, 502_000)
    assert only(PHANTOM_4).clock is None
    assert only(PHANTOM_3.replace("2017.08.05", "2017.13.45")).clock is None


def test_focal_length_becomes_the_field_of_view_of_the_video() -> None:
    for block in (only(MAVIC_2), only(MAVIC_3)):
        assert block.focal_mm == pytest.approx(24.0)
        # Diagonal of 43.27 mm film: 16:9 is 0.8716 of it wide, 4:3 is 0.8.
        for size, share in (((1920, 1080), 0.8716), ((640, 480), 0.8)):
            expected = 2 * math.degrees(math.atan(share * 43.267 / 48))
            assert block.seen_by(size).hfov_deg == pytest.approx(expected, abs=0.05)
    assert only(PHANTOM_3).seen_by((640, 480)).hfov_deg is None


def test_no_reception_is_no_position() -> None:
    text = MAVIC_3.replace("59.302335", "0.000000").replace("18.203059", "0.000000")
    assert only(text).telemetry.position is None
    assert only(text).telemetry.agl_m == pytest.approx(41.3)


def test_values_out_of_range_are_left_out() -> None:
    text = MAVIC_3.replace("59.302335", "159.3").replace("rel_alt: 41.300", "rel_alt: -0.2")
    block = only(text)
    assert block.telemetry.position is None
    assert block.telemetry.agl_m is None
    assert block.telemetry.pitch_deg == pytest.approx(-60.0)


def test_blocks_without_telemetry_are_counted() -> None:
    text = MAVIC_3 + "\n3\n00:00:00,066 --> 00:00:00,100\nHello\n\n" + PHANTOM_3
    parsed = parse_srt(text)
    assert [round(b.time_s, 3) for b in parsed.blocks] == [0.033, 1.0]
    assert parsed.skipped == 1


def test_windows_line_ends_and_byte_order_mark(tmp_path) -> None:
    path = tmp_path / "a.srt"
    path.write_bytes(b"\xef\xbb\xbf" + MAVIC_3.replace("\n", "\r\n").encode())
    assert read_srt(path).blocks[0].telemetry.agl_m == pytest.approx(41.3)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "holds no subtitles"),
        (b"photo,lat,lon\na.jpg,1,2\n", "holds no subtitles"),
        (b"1\n00:00:01,000 --> 00:00:02,000\nA film.\n", "holds 1 subtitles, none with telemetry"),
        (bytes(range(256)) * 50, "holds no subtitles"),
    ],
)
def test_wrong_files_are_refused(tmp_path, content, problem) -> None:
    path = tmp_path / "film.srt"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=f"film.srt: {problem}.*; give the SRT"):
        read_srt(path)


def test_missing_file(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"none.srt: cannot be read \(No such file"):
        read_srt(tmp_path / "none.srt")


number = st.floats(-89, 89).map(lambda v: round(v, 6))


@given(lat=number, lon=number, height=st.floats(1, 400), yaw=st.floats(-179, 179))
def test_round_trip(lat, lon, height, yaw) -> None:
    text = (
        "1\n00:00:00,000 --> 00:00:00,033\n<font>FrameCnt : 1, DiffTime : 33ms\n"
        f"[latitude : {lat:.6f}] [longtitude : {lon:.6f}] [rel_alt: {height:.3f} abs_alt: 9.9] "
        f"[gb_yaw : {yaw:.2f} gb_pitch : -45.0 gb_roll : 0.0]</font>\n"
    )
    told = only(text).telemetry
    assert told.agl_m == pytest.approx(height, abs=1e-3)
    assert told.heading_deg == pytest.approx(yaw, abs=0.01)
    if abs(lat) > 1e-6 or abs(lon) > 1e-6:
        assert (told.lat, told.lon) == (pytest.approx(lat, abs=1e-6), pytest.approx(lon, abs=1e-6))


SAMPLES = (PHANTOM_3, PHANTOM_4_RTK, AUTEL, MAVIC_2, MAVIC_3)
pieces = st.sampled_from(
    [
        *sorted({piece for text in SAMPLES for piece in re.split(r"([^\w.]+)", text)}),
        *("99:99:99,9 -->", "1e400", "nan", "9" * 400),
    ]
)


@given(st.lists(st.one_of(pieces, st.text(max_size=8)), max_size=60).map("".join))
def test_any_text_is_survived(text) -> None:
    parsed = parse_srt(text)
    assert all(block.time_s >= 0 for block in parsed.blocks)


@pytest.mark.parametrize("filler", [" ", "\n", "\t", "a", "<", "<a", "GPS(", "H ", "1", "G.PRY("])
@pytest.mark.parametrize("start", ["", "GPS(", "a:", "H ", "G.PRY(1", "BAROMETER"])
def test_long_runs_take_no_longer_than_short_ones(start, filler) -> None:
    """Patterns that try every way to split a run would need hours for these."""
    parsed = parse_srt(f"1\n00:00:00,000 --> 00:00:01,000\n{start}{filler * 30_000}\n{MAVIC_3}")
    assert parsed.blocks[-1].telemetry.agl_m == pytest.approx(41.3)


@given(st.data())
def test_a_damaged_file_keeps_its_other_blocks(data) -> None:
    whole = [MAVIC_3.replace("00:00:00,033", f"00:00:{n:02d},000") for n in range(6)]
    victim = data.draw(st.integers(0, 5))
    cut = data.draw(st.integers(0, len(whole[victim])))
    damaged = whole.copy()
    damaged[victim] = whole[victim][:cut] + "\n"
    times = {block.time_s for block in parse_srt("\n".join(damaged)).blocks}
    assert times >= {float(n) for n in range(6) if n != victim}
