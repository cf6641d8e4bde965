"""Tiny fake twins of the benchmark datasets, in exactly their official layouts.

Run as a script, `python tests/dataset_twins.py FOLDER` writes all of them to look at.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from functools import cache
from io import BytesIO
from pathlib import Path

from PIL import Image

SIDE_PX = 16
UNIVERSITY_TRAIN, UNIVERSITY_QUERIES, UNIVERSITY_DISTRACTOR = (
    ("0839", "0842", "0844"),
    ("0001", "0002"),
    "0003",
)
UNIVERSITY_VIEWS = (1, 27, 54)
SUES_TRAIN, SUES_QUERIES = ("0001", "0002", "0003"), ("0008", "0012")
SUES_HEIGHTS = (150, 200, 250, 300)
DENSE_TRAIN, DENSE_QUERIES = ("000000", "000001", "000002"), ("002256", "002257")
DENSE_HEIGHTS = (80, 90, 100)
GTA_SPLITS = ("cross-area", "same-area")
VISLOC_TRAIN, VISLOC_TEST = ("01", "03"), ("02",)


def write_university1652(root: Path) -> Path:
    """`University-Release`: 3 training places, 2 queries and 1 distractor, 3 drone views each."""
    for place in UNIVERSITY_TRAIN:
        _university_place(root / "train/drone", place)
        image(root / f"train/satellite/{place}/{place}.jpg")
        image(root / f"train/street/{place}/1.jpg")
        (root / f"train/google/{place}").mkdir(parents=True)
    image(root / f"train/google/{UNIVERSITY_TRAIN[0]}/00.jpg")
    test = root / "test"
    for place in (*UNIVERSITY_QUERIES, UNIVERSITY_DISTRACTOR):
        parts = ["gallery"] if place == UNIVERSITY_DISTRACTOR else ["query", "gallery"]
        for part in parts:
            _university_place(test / f"{part}_drone", place)
            image(test / f"{part}_satellite/{place}/{place}.jpg")
            image(test / f"{part}_street/{place}/1.jpg")
    (root / "readme.txt").write_text("University-1652")
    return root


def _university_place(folder: Path, place: str) -> None:
    for number in UNIVERSITY_VIEWS:
        image(folder / place / f"image-{number:02d}.jpeg")


def write_sues200_split(root: Path) -> Path:
    """The layout that the official script makes: 3 training places, 2 queries, 2 views each."""
    for height in SUES_HEIGHTS:
        for part, places in (
            ("Training/{}/{}", SUES_TRAIN),
            ("Testing/{}/query_{}", SUES_QUERIES),
            ("Testing/{}/gallery_{}", (*SUES_TRAIN, *SUES_QUERIES)),
        ):
            for place in places:
                for number in range(2):
                    image(root / part.format(height, "drone") / place / f"{number}.jpg")
                image(root / part.format(height, "satellite") / place / "0.png")
    return root


def write_sues200_raw(root: Path, heights: Iterable[int] = (150,), views: int = 50) -> Path:
    """The layout of the download, all 200 places; the files are links to one image."""
    drone, satellite = image(root / "drone.jpg"), image(root / "satellite.png")
    for number in range(1, 201):
        folder = root / f"satellite-view/{number:04d}"
        folder.mkdir(parents=True)
        os.link(satellite, folder / "0.png")
        for height in heights:
            folder = root / f"drone_view_512/{number:04d}/{height}"
            folder.mkdir(parents=True)
            for view in range(views):
                os.link(drone, folder / f"{view}.jpg")
    drone.unlink()
    satellite.unlink()
    return root


def write_denseuav(root: Path) -> Path:
    """3 training points, 2 queries, 3 heights; a tile a height and year; the GPS files."""
    every = (*DENSE_TRAIN, *DENSE_QUERIES)
    for part, places in (
        ("train/{}", DENSE_TRAIN),
        ("test/query_{}", DENSE_QUERIES),
        ("test/gallery_{}", every),
    ):
        for place in places:
            for height in DENSE_HEIGHTS:
                image(root / part.format("drone") / place / f"H{height}.JPG")
                for year in ("", "_old"):
                    image(root / part.format("satellite") / place / f"H{height}{year}.tif")
    lines = {
        place: "".join(
            f"{'train' if place in DENSE_TRAIN else 'test'}/satellite/{place}/H80{year}.tif "
            f"E{120.38 + 0.0002 * number!r} N{30.32 + 0.0001 * number!r} {94.606 + number!r}\n"
            for year in ("", "_old")
        )
        for number, place in enumerate(every)
    }
    for name, places in (("ALL", every), ("train", DENSE_TRAIN), ("test", DENSE_QUERIES)):
        (root / f"Dense_GPS_{name}.txt").write_text("".join(lines[place] for place in places))
    return root


def write_gta_uav(root: Path) -> Path:
    """3 training and 3 test photos, 6 tiles, and the annotations of both splits.

    The last test photo has a semi-positive tile only; tile 5_0_13_27 matches no test photo.
    """
    tiles = ["4_0_6_13", "5_0_12_26", "5_0_12_27", "5_0_13_26", "5_0_13_27", "4_0_0_0"]
    for tile in tiles:
        image(root / f"satellite/{tile}.png")
    photos = [f"{100 * number}_0001_000000000{number}.png" for number in range(1, 7)]
    for photo in photos:
        image(root / f"drone/images/{photo}")
    train = [
        gta_entry(photos[0], {"4_0_6_13": 0.47, "5_0_12_27": 0.28}),
        gta_entry(photos[1], {"4_0_6_13": 0.44, "5_0_13_27": 0.41}),
        gta_entry(photos[2], {"5_0_12_26": 0.2}),
    ]
    test = [
        gta_entry(photos[3], {"4_0_6_13": 0.5, "5_0_12_27": 0.42, "5_0_12_26": 0.2}),
        gta_entry(photos[4], {"5_0_12_26": 0.6}),
        gta_entry(photos[5], {"5_0_13_26": 0.3}),
    ]
    for split in GTA_SPLITS:
        (root / f"{split}-drone2sate-train.json").write_text(json.dumps(train, indent=4))
        (root / f"{split}-drone2sate-test.json").write_text(json.dumps(test, indent=4))
    return root


def gta_entry(photo: str, overlaps: dict[str, float]) -> dict[str, object]:
    """One entry of an annotation file, with every published field."""
    semi = {f"{tile}.png": overlap for tile, overlap in overlaps.items()}
    good = {tile: overlap for tile, overlap in semi.items() if overlap > 0.39}
    return {
        "drone_img_dir": "drone/images",
        "drone_img_name": photo,
        "drone_loc_x_y": [4472.2036708036, 9460.91532053518],
        "sate_img_dir": "satellite",
        "pair_pos_sate_img_list": list(good),
        "pair_pos_sate_weight_list": list(good.values()),
        "pair_pos_sate_loc_x_y_list": [[4492.8, 9331.2] for _ in good],
        "pair_pos_semipos_sate_img_list": list(semi),
        "pair_pos_semipos_sate_weight_list": list(semi.values()),
        "pair_pos_semipos_sate_loc_x_y_list": [[4492.8, 9331.2] for _ in semi],
        "drone_metadata": {
            "height": 494.70794677734375,
            "drone_roll": -0.2723846435546875,
            "drone_pitch": 1.981452226638794,
            "drone_yaw": 84.99999237060547,
            "cam_roll": -90.27238464355469,
            "cam_pitch": 1.981452226638794,
            "cam_yaw": 84.99999237060547,
        },
    }


VISLOC_NORTH, VISLOC_WEST = 32.35, 119.80
VISLOC_SPAN_DEG = 0.0135
"""Height of a twin's map, about 1.5 km; its width is as long on the ground."""


def write_uav_visloc(root: Path) -> Path:
    """2 training regions and 1 test region: a map of 1.5 km, photos at its middle and in a corner.

    The table of corners bears the name that it has in the archive, with a blank. Photo 3 lies off
    the map; region 03 has no angles, as region 07 of the original.
    """
    rows = ["mapname,LT_lat_map,LT_lon_map,RB_lat_map,RB_lon_map,region"]
    for region in (*VISLOC_TRAIN, *VISLOC_TEST):
        west = VISLOC_WEST + int(region)
        south, east = VISLOC_NORTH - VISLOC_SPAN_DEG, west + visloc_width_deg()
        rows.append(f"satellite{region}.tif,{VISLOC_NORTH},{west},{south},{east},Twin-{region}")
        image(root / f"{region}/satellite{region}.tif", 150)
        bare = region == "03"
        table = ["num,filename,date,lat,lon,height" + ("" if bare else ",Omega,Kappa,Phi1,Phi2")]
        for number, share in enumerate((0.5, 0.02, 1.5), start=1):
            name = f"{region}_{number:04d}.JPG"
            image(root / f"{region}/drone/{name}")
            lat = VISLOC_NORTH - share * VISLOC_SPAN_DEG
            lon = west + share * visloc_width_deg()
            angles = "" if bare else ",1.5,-0.5,-90.25,89.0"
            table.append(
                f"{number},{name},2023-06-01 10:00:0{number},{lat!r},{lon!r},466.4{angles}"
            )
        (root / f"{region}/{region}.csv").write_text("\n".join(table) + "\n")
    (root / "satellite_ coordinates_range.csv").write_text("\n".join(rows) + "\n")
    return root


def visloc_width_deg() -> float:
    """Width of a twin's map in degrees of longitude, so that it is square on the ground."""
    return VISLOC_SPAN_DEG * 1.1804  # 1 / cos 32.34°, for the ellipsoid


def write_folder(root: Path) -> Path:
    """Own data: 2 training places, 2 test places, 1 distractor, positions of two views."""
    for place in ("barn", "mill"):
        image(root / f"train/drone/{place}/a.jpg")
        image(root / f"train/satellite/{place}/tile.png")
    for place in ("church", "farm"):
        image(root / f"test/drone/{place}/a.jpg")
        image(root / f"test/satellite/{place}/tile.png")
    image(root / "test/satellite/pond/tile.png")
    (root / "positions.csv").write_text(
        "path,lat,lon,height_m,heading_deg\n"
        "test/drone/church/a.jpg,47.3769,8.5417,120,-90\n"
        "test/satellite/church/tile.png,47.3770,8.5416,,\n"
    )
    return root


def write_simulated(root: Path) -> Path:
    """What `learn simulate` writes: 2 training places, 2 test places, truth of one of them."""
    for place in ("0001", "0002"):
        _university_place(root / "train/drone", place)
        image(root / f"train/satellite/{place}/{place}.jpg")
    for place in ("0003", "0004"):
        for part in ("query", "gallery"):
            _university_place(root / f"test/{part}_drone", place)
            image(root / f"test/{part}_satellite/{place}/{place}.jpg")
    (root / "simulated.json").write_text('{"format": 1}')
    (root / "truth.csv").write_text(
        "photo,lat,lon,heading_deg,agl_m\n"
        "test/query_drone/0003/image-01.jpeg,47.3769,8.5417,270,256\n"
        "test/query_satellite/0003/0003.jpg,47.3769,8.5417,0.5,\n"
    )
    return root


def image(path: Path, side_px: int = SIDE_PX) -> Path:
    """Writes a small image whose format is that of the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_encoded(path.suffix.lower(), side_px))
    return path


@cache
def _encoded(suffix: str, side_px: int) -> bytes:
    form = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".tif": "TIFF"}[suffix]
    across = Image.linear_gradient("L").resize((side_px, side_px))
    stream = BytesIO()
    Image.merge("RGB", (across, across.rotate(90), across.rotate(180))).save(stream, form)
    return stream.getvalue()


WRITERS = {
    "university1652": write_university1652,
    "sues200": write_sues200_split,
    "denseuav": write_denseuav,
    "gta_uav": write_gta_uav,
    "uav_visloc": write_uav_visloc,
    "folder": write_folder,
    "simulated": write_simulated,
}

if __name__ == "__main__":
    for name, write in WRITERS.items():
        sys.stdout.write(f"{write(Path(sys.argv[1]) / name)}\n")
