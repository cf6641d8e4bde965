from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilegeo.camera import Pose
from mobilegeo.geo import LatLon
from mobilegeo.metadata.attitude import body_pose
from mobilegeo.metadata.lens import Calibration
from mobilegeo.metadata.makernote import MakerNote, read_maker_note
from mobilegeo.metadata.own import read_own
from mobilegeo.metadata.telemetry import Telemetry
from mobilegeo.metadata.xmp import XmpFacts, read_xmp
from photo_kit import dji_packet, exif_block, gps_tags, maker_note

DJI = {
    "GimbalYawDegree": "-90.50",
    "GimbalPitchDegree": "-75.00",
    "GimbalRollDegree": "+0.00",
    "FlightYawDegree": "-88.10",
    "RelativeAltitude": "+50.10",
    "GpsLatitude": "+28.0412532",
    "GpsLongtitude": "-82.6984742",
    "CalibratedFocalLength": "3666.666504",
    "CalibratedOpticalCenterX": "2736.000000",
    "CalibratedOpticalCenterY": "1824.000000",
}
FACTS = XmpFacts(
    camera=Pose(269.5, -75.0, 0.0),
    aircraft_heading_deg=pytest.approx(271.9),
    above_take_off_m=50.1,
    position=LatLon(28.0412532, -82.6984742),
    calibration=Calibration(3666.666504, 2736.0, 1824.0),
)
SIZE = (5472, 3648)


# --- XMP ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("elements", [False, True])
def test_dji(elements: bool) -> None:
    assert read_xmp(dji_packet(elements=elements, **DJI)) == FACTS


def test_dji_spellings() -> None:
    packet = dji_packet(**DJI).replace(b"GpsLongtitude", b"GpsLongitude").replace(b'"', b"'")
    assert read_xmp(packet) == FACTS
    older = dji_packet(Latitude="28.5", Longitude="-82.5")
    assert read_xmp(older).position == LatLon(28.5, -82.5)


def test_encodings_and_pieces() -> None:
    packet = dji_packet(**DJI)
    assert read_xmp(packet.decode("utf-8").encode("utf-16")) == FACTS
    assert read_xmp(b"http://ns.adobe.com/xap/1.0/\0" + packet) == FACTS
    assert read_xmp(packet[packet.index(b" drone-dji:Gimbal") : -60]) == FACTS
    assert read_xmp(b"\xff\xfe\xfa" + packet + b"\xc3\x28") == FACTS


def test_no_property_of_others() -> None:
    foreign = dji_packet(**DJI).replace(b"drone-dji:", b"my-drone-dji:")
    assert read_xmp(foreign) == XmpFacts()


@pytest.mark.parametrize("text", ["", "north", "NaN", "inf", "1/0", "1e400", "--5"])
def test_values_that_are_no_numbers(text: str) -> None:
    facts = read_xmp(dji_packet(**dict.fromkeys(DJI, text)))
    assert facts == XmpFacts()


def test_position_out_of_range() -> None:
    assert read_xmp(dji_packet(GpsLatitude="128.0", GpsLongitude="10.0")).position is None


def test_parrot() -> None:
    packet = b"""<rdf:Description drone-parrot:CameraRollDegree="-0.052789"
        drone-parrot:CameraPitchDegree="-51.988888" drone-parrot:CameraYawDegree="146.848038"/>"""
    assert read_xmp(packet).camera == Pose(146.848038, -51.988888, -0.052789)


@pytest.mark.parametrize(
    "structure",
    [
        "<p:{0} p:Roll='0.2' p:Pitch='-7.5' p:Yaw='{1}'/>",
        (
            "<p:{0} rdf:parseType='Resource'><p:Roll>0.2</p:Roll>"
            "<p:Pitch>-7.5</p:Pitch><p:Yaw>{1}</p:Yaw></p:{0}>"
        ),
    ],
)
def test_skydio_takes_its_north_east_down_frame(structure: str) -> None:
    packet = structure.format("CameraOrientationFLU", "33.0")
    packet += structure.format("CameraOrientationNED", "127.4")
    assert read_xmp(packet.replace("p:", "drone-skydio:").encode()).camera == Pose(127.4, -7.5, 0.2)


def test_pix4d_counts_pitch_from_straight_down() -> None:
    packet = b'<d xmlns:Camera="http://pix4d.com/camera/1.0/" Camera:Yaw="30" Camera:Pitch="12"'
    packet += b' Camera:Roll="0"><Camera:AboveGroundAltitude>250/2</Camera:AboveGroundAltitude></d>'
    facts = read_xmp(packet)
    assert facts.camera.heading_deg == pytest.approx(30.0)
    assert facts.camera.pitch_deg == pytest.approx(-78.0)
    assert facts.above_ground_m == 125.0


def test_sensefly_rolls_the_other_way() -> None:
    packet = b'<d xmlns:Camera="{}" Camera:Yaw="30" Camera:Pitch="12" Camera:Roll="5"/>'
    pix4d = packet.replace(b"{}", b"http://pix4d.com/camera/1.0/")
    sensefly = packet.replace(b"{}", b"http://ns.sensefly.com/Camera/1.0/")
    assert read_xmp(pix4d).camera == body_pose(30.0, 12.0, 5.0)
    assert read_xmp(sensefly).camera == body_pose(30.0, 12.0, -5.0)


def test_the_makers_own_angles_come_first() -> None:
    packet = dji_packet(**DJI) + b'<d Camera:Yaw="1" Camera:Pitch="2" Camera:Roll="3"/>'
    assert read_xmp(packet).camera == FACTS.camera


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    assert read_xmp(data) == XmpFacts()


@given(st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=4)), max_size=8))
def test_any_damage(changes: list[tuple[int, bytes]]) -> None:
    data = dji_packet(**DJI) + b'<d Camera:Yaw="30" Camera:Pitch="12" Camera:Roll="5"/>'
    for index, piece in changes:
        data = data[:index] + piece + data[index:]
    read_xmp(data)


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "piece", [b"<drone-dji:A ", b"drone-dji:A=", b" ", b"<", b"<drone-skydio:CameraOrientationNED"]
)
def test_long_packets_are_quick(piece: bytes) -> None:
    read_xmp(piece * (1_000_000 // len(piece)))


# --- maker note ---------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
def test_maker_note(order: str) -> None:
    note = read_maker_note(maker_note((-75.0, -90.0, 2.0), -88.0, order))
    assert note == MakerNote(Pose(270.0, -75.0, 2.0), 272.0)


def test_maker_notes_of_others() -> None:
    foreign = maker_note((-75.0, -90.0, 2.0), -88.0).replace(b"DJI", b"Abc")
    assert read_maker_note(foreign) == MakerNote()
    assert read_maker_note(b"[ae_dbg_info:" + bytes(100)) == MakerNote()


def test_maker_note_with_no_numbers() -> None:
    nan, inf = float("nan"), float("inf")
    assert read_maker_note(maker_note((nan, nan, inf), nan)) == MakerNote()


@given(st.binary(max_size=300))
def test_any_maker_note(data: bytes) -> None:
    read_maker_note(data)
    read_maker_note(maker_note((1.0, 2.0, 3.0), 4.0)[:18] + data)


# --- together -----------------------------------------------------------------------------------


def test_all_of_a_photo() -> None:
    exif = exif_block(camera={0xA405: 24}, gps=gps_tags(28.5, -82.5))
    own = read_own(exif, dji_packet(**DJI), SIZE)
    hfov = own.telemetry.hfov_deg
    assert hfov == pytest.approx(73.46, abs=0.01)
    assert own.telemetry == Telemetry(269.5, -75.0, 0.0, 50.1, hfov, 28.5, -82.5)
    assert own.notes == ("height is above the take-off, not the ground",)


def test_nothing_said_is_nothing_known() -> None:
    own = read_own(b"", b"", SIZE)
    assert own.telemetry == Telemetry()
    assert own.notes == ()


def test_xmp_before_maker_note() -> None:
    exif = exif_block(camera={0x927C: maker_note((-60.0, 10.0, 0.0), 20.0)})
    assert read_own(exif, b"", SIZE).telemetry == Telemetry(10.0, -60.0, 0.0)
    assert read_own(exif, dji_packet(**DJI), SIZE).telemetry.heading_deg == 269.5


def test_aircrafts_heading_where_the_gimbal_is_silent() -> None:
    silent = DJI | {f"Gimbal{axis}Degree": "+0.00" for axis in ("Yaw", "Pitch", "Roll")}
    own = read_own(b"", dji_packet(**silent), SIZE)
    assert own.telemetry.heading_deg == pytest.approx(271.9)
    assert own.telemetry.pitch_deg is None
    assert "camera heading not recorded, the aircraft's is used" in own.notes


def test_xmp_position_where_exif_has_none() -> None:
    assert read_own(b"", dji_packet(**DJI), SIZE).telemetry.lat == 28.0412532
    unreceived = dji_packet(**(DJI | {"GpsLatitude": "0.0", "GpsLongtitude": "0.0"}))
    assert read_own(b"", unreceived, SIZE).telemetry.lat is None


@pytest.mark.parametrize("height", ["-3.2", "+0.00", "99999"])
def test_impossible_height_is_ignored_with_a_note(height: str) -> None:
    own = read_own(b"", dji_packet(**(DJI | {"RelativeAltitude": height})), SIZE)
    assert own.telemetry.agl_m is None
    assert "is not within 0.5 … 20000, ignored" in own.notes[-1]


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_together(exif: bytes, xmp: bytes) -> None:
    read_own(exif, xmp, SIZE)
