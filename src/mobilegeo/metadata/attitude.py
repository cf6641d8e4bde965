"""From the angles that makers of drones write to heading, pitch and roll as in `camera`."""

from __future__ import annotations

import math

import numpy as np

from mobilegeo.camera import Pose

NEAR_NADIR_DEG = 30.0
"""So close to straight down, a camera that is upside down is one that looks backwards."""
STRAIGHT_DOWN_DEG = 1.0
"""So close to straight down, roll only turns the image and is counted as heading. The line of
sight moves by less than 2 degrees, as much as gimbals and their mounts are off."""

_ROLL_TO_DISPLAY_DEG = {1: 0.0, 3: 180.0, 6: -90.0, 8: 90.0}
_PITCH_RANGE_DEG = (-90.0 - NEAR_NADIR_DEG, 90.0)


def gimbal_pose(yaw_deg: float | None, pitch_deg: float | None, roll_deg: float | None) -> Pose:
    """Attitude from the angles of a stabilised camera in the north-east-down frame.

    Three quirks of recording cameras are undone. All angles exactly zero mean that they were not
    recorded (DJI Mini 2). A roll of 180 near the nadir (DJI H30T, Mavic 3E) is the same attitude
    as no roll with the yaw turned round and the pitch past −90. Looking straight down, yaw and
    roll turn about one axis.
    """
    if not any((yaw_deg, pitch_deg, roll_deg)):
        return Pose()
    yaw_deg, pitch_deg, roll_deg = (
        angle if angle is not None and abs(angle) <= 360.0 else None
        for angle in (yaw_deg, pitch_deg, roll_deg)
    )
    if yaw_deg is None or pitch_deg is None or roll_deg is None:
        return Pose(
            None if yaw_deg is None else yaw_deg % 360.0,
            pitch_deg if pitch_deg is not None and _is_pitch(pitch_deg) else None,
        )
    return _plainest(yaw_deg, pitch_deg, roll_deg)


def body_pose(yaw_deg: float, pitch_deg: float, roll_deg: float) -> Pose:
    """Attitude from Pix4D's angles: of a body under which the camera is fixed looking down.

    The image's top edge points to the body's front: pitch 0 looks straight down, 90 forward, and
    a positive roll, right wing down, looks to the left.
    """
    yaw, pitch, roll = (math.radians(angle) for angle in (yaw_deg, pitch_deg, roll_deg))
    # Axes of the body as columns, in (north, east, down).
    about_down = np.array(
        [[math.cos(yaw), -math.sin(yaw), 0], [math.sin(yaw), math.cos(yaw), 0], [0, 0, 1]]
    )
    about_right = np.array(
        [[math.cos(pitch), 0, math.sin(pitch)], [0, 1, 0], [-math.sin(pitch), 0, math.cos(pitch)]]
    )
    about_front = np.array(
        [[1, 0, 0], [0, math.cos(roll), -math.sin(roll)], [0, math.sin(roll), math.cos(roll)]]
    )
    front, right, sight = (about_down @ about_right @ about_front).T
    level = math.hypot(sight[0], sight[1])
    if level < math.sin(math.radians(STRAIGHT_DOWN_DEG)):
        return _plainest(math.degrees(math.atan2(front[1], front[0])), -90.0 + pitch_deg, 0.0)
    # Without roll the image's right edge would be level, square to the line of sight.
    level_right = np.array([-sight[1], sight[0], 0.0]) / level
    level_bottom = np.cross(sight, level_right)
    return _plainest(
        math.degrees(math.atan2(sight[1], sight[0])),
        math.degrees(math.atan2(-sight[2], level)),
        math.degrees(math.atan2(right @ level_bottom, right @ level_right)),
    )


def displayed_pose(stored: Pose, orientation: int) -> Pose | None:
    """The attitude of the image as EXIF `orientation` turns it for display.

    A gimbal's angles are those of the sensor, so of the image as stored; turning the image turns
    the camera about its line of sight. `None` for the mirrored orientations (2, 4, 5, 7), of
    which no attitude can be right.
    """
    turn_deg = _ROLL_TO_DISPLAY_DEG.get(orientation)
    if turn_deg is None:
        return None
    if turn_deg == 0.0:
        return stored
    if stored.heading_deg is None or stored.pitch_deg is None:
        return Pose(pitch_deg=stored.pitch_deg)
    return _plainest(stored.heading_deg, stored.pitch_deg, (stored.roll_deg or 0.0) + turn_deg)


def _plainest(heading_deg: float, pitch_deg: float, roll_deg: float) -> Pose:
    """Of the triples that mean this attitude the one with the least roll; empty if impossible."""
    roll_deg = math.remainder(roll_deg, 360.0)
    if abs(roll_deg) > 90.0 and abs(pitch_deg + 90.0) <= NEAR_NADIR_DEG:
        heading_deg, pitch_deg = heading_deg + 180.0, -180.0 - pitch_deg
        roll_deg = math.remainder(roll_deg + 180.0, 360.0)
    if abs(pitch_deg + 90.0) <= STRAIGHT_DOWN_DEG:
        heading_deg, roll_deg = heading_deg + roll_deg, 0.0
    if not _is_pitch(pitch_deg):
        return Pose()
    return Pose(heading_deg % 360.0, pitch_deg, roll_deg)


def _is_pitch(pitch_deg: float) -> bool:
    low, high = _PITCH_RANGE_DEG
    return low <= pitch_deg <= high
