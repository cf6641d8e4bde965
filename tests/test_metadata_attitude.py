from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilegeo.camera import GroundView, Pose
from mobilegeo.metadata.attitude import body_pose, displayed_pose, gimbal_pose

ANGLES = st.floats(-180, 180)


def axes(heading: float, pitch: float, roll: float) -> np.ndarray:
    return GroundView(400, 300, 70.0, heading, pitch, roll, 100.0).axes


def pose_axes(pose: Pose) -> np.ndarray:
    assert pose.heading_deg is not None
    assert pose.pitch_deg is not None
    assert pose.roll_deg is not None
    return axes(pose.heading_deg, pose.pitch_deg, pose.roll_deg)


# --- gimbals ------------------------------------------------------------------------------------


@given(yaw=ANGLES, pitch=st.floats(-120, 90), roll=ANGLES)
def test_gimbal_keeps_the_rotation(yaw: float, pitch: float, roll: float) -> None:
    pose = gimbal_pose(yaw, pitch, roll)
    if pose == Pose():
        assert (yaw, pitch, roll) == (0.0, 0.0, 0.0)
        return
    # Within a degree of straight down, roll counts as heading: two degrees at most.
    assert (
        np.abs(pose_axes(pose) - axes(yaw, pitch, roll)).max()
        < 2 * math.sin(math.radians(1)) + 1e-9
    )


def test_gimbal_heading_is_a_compass_heading() -> None:
    assert gimbal_pose(-154.1, -75.0, 0.0) == Pose(-154.1 % 360.0, -75.0, 0.0)


def test_roll_of_180_near_the_nadir_is_a_camera_past_it() -> None:
    # DJI H30T looking straight down, and Mavic 3E ten degrees past that.
    assert gimbal_pose(-150.0, -90.0, 180.0) == Pose(30.0, -90.0, 0.0)
    assert gimbal_pose(-150.0, -80.0, 180.0) == Pose(30.0, -100.0, 0.0)
    assert gimbal_pose(-150.0, -80.0, -180.0) == Pose(30.0, -100.0, 0.0)


def test_roll_straight_down_turns_the_heading() -> None:
    assert gimbal_pose(350.0, -90.0, 20.0) == Pose(10.0, -90.0, 0.0)


def test_all_zero_is_not_recorded() -> None:
    assert gimbal_pose(0.0, 0.0, 0.0) == Pose()
    assert gimbal_pose(None, None, None) == Pose()
    assert gimbal_pose(0.0, -45.0, 0.0) == Pose(0.0, -45.0, 0.0)


def test_part_of_the_angles() -> None:
    assert gimbal_pose(-90.0, None, None) == Pose(270.0)
    assert gimbal_pose(None, -60.0, 3.0) == Pose(pitch_deg=-60.0)
    assert gimbal_pose(10.0, 4000.0, 0.0) == Pose(10.0)
    assert gimbal_pose(10.0, 170.0, 0.0) == Pose()


# --- Pix4D --------------------------------------------------------------------------------------


def test_body_angles_of_pix4ds_own_examples() -> None:
    assert body_pose(0.0, 0.0, 0.0) == Pose(0.0, -90.0, 0.0)
    assert body_pose(90.0, 0.0, 0.0) == Pose(90.0, -90.0, 0.0)
    forward = body_pose(30.0, 90.0, 0.0)
    assert forward.heading_deg == pytest.approx(30.0)
    assert forward.pitch_deg == pytest.approx(0.0, abs=1e-9)
    assert forward.roll_deg == pytest.approx(0.0, abs=1e-9)


@given(yaw=ANGLES, pitch=st.floats(2.0, 170.0))
def test_body_pitch_without_roll(yaw: float, pitch: float) -> None:
    assert np.allclose(pose_axes(body_pose(yaw, pitch, 0.0)), axes(yaw, pitch - 90.0, 0.0))


@pytest.mark.parametrize(("roll", "east_m"), [(10.0, -17.63), (-20.0, 36.40)])
def test_body_roll_looks_to_the_other_side(roll: float, east_m: float) -> None:
    """Right wing down, the belly and its camera look left; the image's top stays north."""
    pose = body_pose(0.0, 0.0, roll)
    assert pose.heading_deg is not None
    assert pose.pitch_deg is not None
    assert pose.roll_deg is not None
    view = GroundView(400, 300, 70.0, pose.heading_deg, pose.pitch_deg, pose.roll_deg, 100.0)
    assert view.centre_ground == pytest.approx((east_m, 0.0), abs=0.01)
    _, top, _ = view.image_to_ground @ [200.0, 0.0, 1.0]
    assert top > 0.0


# --- orientation --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("orientation", "top_of_display"), [(1, 0.0), (3, 180.0), (6, 270.0), (8, 90.0)]
)
def test_turned_image_straight_down(orientation: int, top_of_display: float) -> None:
    """The stored image's top is north; turned for display, another side is on top."""
    assert displayed_pose(Pose(0.0, -90.0, 0.0), orientation) == Pose(top_of_display, -90.0, 0.0)


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("stored", [Pose(40.0, -70.0, 5.0), Pose(40.0, -20.0, -3.0)])
def test_turned_image_sees_the_same_ground(orientation: int, stored: Pose) -> None:
    shown = displayed_pose(stored, orientation)
    assert shown is not None
    right, down, forward = pose_axes(stored)
    expected = {3: (-right, -down), 6: (-down, right), 8: (down, -right)}[orientation]
    assert np.allclose(pose_axes(shown), [*expected, forward])


def test_upright_photo_of_a_camera_on_its_side() -> None:
    assert displayed_pose(Pose(40.0, -20.0, 90.0), 6) == Pose(40.0, -20.0, 0.0)


@pytest.mark.parametrize("orientation", [2, 4, 5, 7])
def test_mirrored_image_has_no_attitude(orientation: int) -> None:
    assert displayed_pose(Pose(40.0, -70.0, 0.0), orientation) is None


def test_turned_image_of_unknown_attitude() -> None:
    assert displayed_pose(Pose(heading_deg=40.0), 6) == Pose()
    assert displayed_pose(Pose(pitch_deg=-60.0), 6) == Pose(pitch_deg=-60.0)
    assert displayed_pose(Pose(heading_deg=40.0), 1) == Pose(heading_deg=40.0)
