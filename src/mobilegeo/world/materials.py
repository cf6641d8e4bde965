"""What the generated world is made of, and the colour of each thing in each season."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np

from mobilegeo.world.scene import Raster

Season = Literal["spring", "summer", "autumn", "winter"]
Rgb = tuple[int, int, int]

VARIANTS = 256


class Material(IntEnum):
    """Kinds of surface; the value is what the material raster holds."""

    MEADOW = 0
    LAWN = 1
    CROP = 2
    SOIL = 3
    ROAD = 4
    FOOTWAY = 5
    PAVING = 6
    GRAVEL = 7
    MARKING = 8
    WATER = 9
    BANK = 10
    ROOF_TILE = 11
    ROOF_FLAT = 12
    ROOF_METAL = 13
    SOLAR = 14
    CLUTTER = 15
    BROADLEAF = 16
    CONIFER = 17
    HEDGE = 18
    POOL = 19
    PITCH = 20
    COURT = 21
    CAR = 22
    GLASS = 23
    FOREST_FLOOR = 24


@dataclass(frozen=True, slots=True)
class Look:
    """How a material appears.

    Attributes:
        colours: the palette; an object's variant, 0 … 255, picks one of them.
        spread: relative differences of brightness between objects of one colour.
        grain: relative strength of the fine texture.
        patches: relative strength of the coarse texture.
        detail: relative strength of what is engraved in the object (furrows, tiles, foliage).
        dryness: how far the coarse texture shifts the colour between lush and dry.
    """

    colours: tuple[Rgb, ...]
    spread: float = 0.06
    grain: float = 0.05
    patches: float = 0.04
    detail: float = 0.25
    dryness: float = 0.0


_CARS: tuple[Rgb, ...] = (
    (205, 207, 210), (220, 220, 220), (150, 152, 156), (92, 95, 100), (42, 44, 48),
    (30, 34, 44), (150, 30, 30), (38, 66, 120), (176, 180, 186), (70, 88, 84),
)  # fmt: skip

_LOOKS: dict[Material, Look] = {
    Material.MEADOW: Look(((112, 120, 72), (122, 124, 78)), 0.05, 0.10, 0.10, 0.2, 0.07),
    Material.LAWN: Look(
        ((96, 122, 66), (106, 126, 70), (118, 128, 78), (88, 112, 60), (132, 130, 88)),
        0.06, 0.07, 0.07, 0.12, 0.06,
    ),
    Material.CROP: Look(
        ((172, 157, 112), (86, 114, 60), (138, 122, 98), (104, 124, 70), (156, 148, 98)),
        0.08, 0.05, 0.055, 0.17, 0.03,
    ),
    Material.SOIL: Look(((132, 116, 98), (118, 104, 88)), 0.06, 0.07, 0.06, 0.2, 0.02),
    Material.ROAD: Look(((108, 107, 106), (92, 92, 94), (122, 120, 117)), 0.05, 0.035, 0.035, 0.25),
    Material.FOOTWAY: Look(((158, 154, 148), (148, 142, 134)), 0.05, 0.05, 0.04, 0.2),
    Material.PAVING: Look(
        ((150, 144, 136), (134, 126, 118), (162, 148, 134), (118, 116, 114)), 0.08, 0.05, 0.035, 0.2
    ),
    Material.GRAVEL: Look(((176, 164, 142), (164, 150, 126)), 0.06, 0.09, 0.06),
    Material.MARKING: Look(((214, 212, 204),), 0.02, 0.06, 0.08),
    Material.WATER: Look(((58, 72, 66), (66, 78, 68)), 0.03, 0.03, 0.05, 0.2),
    Material.BANK: Look(((122, 116, 84), (104, 108, 70)), 0.06, 0.14, 0.14, 0.3, 0.1),
    Material.ROOF_TILE: Look(
        (
            (148, 88, 68), (136, 78, 60), (122, 72, 60), (104, 70, 60), (92, 82, 76),
            (82, 82, 86), (70, 72, 78), (128, 104, 86), (156, 104, 80), (96, 94, 94),
        ),
        0.10, 0.07, 0.05, 0.22,
    ),
    Material.ROOF_FLAT: Look(
        ((150, 148, 144), (126, 125, 124), (176, 174, 168), (104, 104, 106), (138, 130, 120)),
        0.08, 0.04, 0.05, 0.3,
    ),
    Material.ROOF_METAL: Look(
        ((186, 190, 194), (160, 168, 174), (206, 206, 202), (134, 146, 156), (150, 92, 78)),
        0.06, 0.03, 0.05, 0.22,
    ),
    Material.SOLAR: Look(((34, 42, 66), (28, 34, 52)), 0.05, 0.04, 0.02, 0.5),
    Material.CLUTTER: Look(((184, 184, 182), (140, 140, 140), (96, 96, 98)), 0.08, 0.05, 0.03),
    Material.BROADLEAF: Look(
        ((70, 92, 46), (80, 100, 50), (62, 84, 44), (90, 106, 56), (76, 90, 54), (98, 104, 60)),
        0.09, 0.13, 0.04, 0.6,
    ),
    Material.CONIFER: Look(((48, 68, 46), (56, 74, 50), (44, 62, 48)), 0.08, 0.12, 0.03, 0.6),
    Material.HEDGE: Look(((66, 86, 46), (76, 94, 54)), 0.08, 0.14, 0.05, 0.5),
    Material.POOL: Look(((88, 172, 190), (104, 186, 196)), 0.04, 0.04, 0.02),
    Material.PITCH: Look(((84, 122, 62), (70, 116, 70)), 0.04, 0.05, 0.05, 0.3, 0.05),
    Material.COURT: Look(((150, 84, 68), (66, 104, 136), (78, 116, 88)), 0.03, 0.04, 0.04),
    Material.CAR: Look(_CARS, 0.04, 0.02, 0.0),
    Material.GLASS: Look(((58, 65, 72),), 0.04, 0.02, 0.0),
    Material.FOREST_FLOOR: Look(((88, 88, 58), (78, 80, 54)), 0.05, 0.16, 0.1, 0.2, 0.1),
}  # fmt: skip

_SEASONS: dict[Season, dict[Material, tuple[Rgb, ...]]] = {
    "summer": {},
    "spring": {
        Material.MEADOW: ((104, 128, 60), (114, 134, 64)),
        Material.LAWN: (
            (88, 126, 56), (98, 132, 60), (106, 132, 66), (82, 118, 52), (118, 134, 74),
        ),
        Material.CROP: (
            (96, 126, 66), (130, 114, 94), (180, 172, 72), (88, 120, 60), (122, 108, 90),
        ),
        Material.BROADLEAF: (
            (98, 122, 58), (110, 130, 64), (88, 110, 54), (124, 134, 76), (138, 136, 108),
            (104, 116, 60),
        ),
        Material.HEDGE: ((82, 108, 52), (90, 112, 58)),
    },
    "autumn": {
        Material.MEADOW: ((116, 116, 72), (128, 122, 80)),
        Material.CROP: (
            (160, 146, 114), (116, 102, 86), (110, 96, 80), (106, 120, 72), (146, 134, 106),
        ),
        Material.BROADLEAF: (
            (106, 102, 56), (132, 106, 56), (90, 98, 52), (140, 116, 62), (116, 84, 54),
            (98, 104, 58), (84, 96, 50),
        ),
        Material.HEDGE: ((84, 88, 50), (100, 92, 54)),
        Material.FOREST_FLOOR: ((124, 98, 66), (112, 90, 62)),
    },
    "winter": {
        Material.MEADOW: ((118, 116, 86), (124, 120, 92)),
        Material.LAWN: (
            (104, 114, 76), (112, 116, 82), (120, 118, 88), (98, 106, 74), (126, 120, 94),
        ),
        Material.CROP: (
            (112, 122, 80), (114, 98, 84), (104, 90, 78), (106, 118, 76), (122, 108, 92),
        ),
        Material.BROADLEAF: (
            (104, 96, 82), (98, 90, 78), (110, 102, 86), (94, 88, 74), (102, 98, 80), (88, 84, 70),
        ),
        Material.HEDGE: ((86, 86, 64), (78, 84, 58)),
        Material.FOREST_FLOOR: ((106, 94, 76), (98, 88, 72)),
    },
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Palette:
    """Lookup tables of one season.

    Attributes:
        colours: float32 [materials × 256, 3], RGB by material × 256 + variant.
        strengths: float32 [materials, 4]: grain, patches, detail, dryness by material.
    """

    colours: Raster
    strengths: Raster


def palette(season: Season) -> Palette:
    """The tables of a season."""
    colours = np.zeros((len(Material), VARIANTS, 3), np.float32)
    strengths = np.zeros((len(Material), 4), np.float32)
    variants = np.arange(VARIANTS)
    # A low-discrepancy sequence, so that neighbouring variants differ in brightness.
    jitter = (variants * 0.618034) % 1.0 - 0.5
    for material, look in _LOOKS.items():
        choices = np.array(_SEASONS[season].get(material, look.colours), np.float32)
        picked = choices[variants * len(choices) // VARIANTS]
        colours[material] = picked * (1 + 2 * look.spread * jitter[:, None])
        strengths[material] = look.grain, look.patches, look.detail, look.dryness
    return Palette(colours.reshape(-1, 3), strengths)
