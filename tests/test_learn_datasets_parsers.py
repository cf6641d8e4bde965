"""The text, CSV and JSON of datasets: what is read, and that nothing else than an error comes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dataset_twins as twins
from mobilegeo.errors import DatasetError
from mobilegeo.geo import Bounds, LatLon
from mobilegeo.learn.datasets.annotations import Entry, parse_entry, read_entries, tile_centre
from mobilegeo.learn.datasets.denseuav import parse_gps_line, read_gps
from mobilegeo.learn.datasets.folder import read_positions
from mobilegeo.learn.datasets.records import PlanePoint
from mobilegeo.learn.datasets.visloc_tables import find_sheet, read_bounds, read_photos

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
LATS, LONS = st.floats(-90, 90), st.floats(-180, 180)


def read_or_refused(read: Callable[[], Any], where: str) -> Any:
    """What was read; None where it was refused by an error that names the place at fault."""
    refused = None
    try:
        return read()
    except DatasetError as error:
        refused = error
    assert refused.where.startswith(where)
    return None


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("parsers") / "file"


# DenseUAV's positions


def test_gps_line_as_published() -> None:
    line = "test/satellite/002256/H80.tif E120.33542972222222 N30.324272222222223 90.137\n"
    found = parse_gps_line(line, "here")
    assert found.place == "002256"
    assert found.position == LatLon(30.324272222222223, 120.33542972222222)
    assert found.height_m == 90.137


@given(LATS, LONS, st.floats(-500, 9000), st.integers(0, 999_999))
def test_gps_lines_round_trip(lat, lon, height_m, point) -> None:
    line = f"D:\\data\\train\\satellite\\{point:06d}\\H80.tif E{lon!r} N{lat!r} {height_m!r}"
    found = parse_gps_line(line, "here")
    assert (found.place, found.position) == (f"{point:06d}", LatLon(lat, lon))
    assert found.height_m == height_m


@given(st.text() | st.from_regex(r"\S+ E\S* N\S* \S+"))
def test_any_gps_line_is_read_or_refused(line) -> None:
    found = read_or_refused(lambda: parse_gps_line(line, "here"), "here")
    assert found is None or (found.place and math.isfinite(found.height_m))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a/b/H80.tif E1 N2", r"file, line 2: has 3 cells instead of 4; write lines as"),
        ("H80.tif E1 N2 3", r"line 2: names no folder of a point in 'H80\.tif'"),
        ("a/b/H80.tif 1 2 3", r"line 2: has no E and N in '1' '2'"),
        ("a/b/H80.tif E1 Nx 3", r"line 2: holds no numbers in 'a/b/H80\.tif E1 Nx 3'"),
        ("a/b/H80.tif E1 N95 3", r"line 2: latitude 95\.0 is not within"),
        ("a/b/H80.tif E1 N5 inf", r"line 2: height inf is no length"),
    ],
)
def test_bad_gps_lines_are_refused_by_number(line, message, scratch) -> None:
    scratch.write_text(f"a/b/H80.tif E1 N2 3\n{line}\n")
    with pytest.raises(DatasetError, match=message):
        read_gps(scratch)


def test_the_first_line_of_a_point_counts(scratch) -> None:
    scratch.write_text("a/7/H80.tif E1 N2 3\n\na/7/H80_old.tif E5 N6 7\na/8/H80.tif E1 N2 3")
    gps = read_gps(scratch)
    assert list(gps) == ["7", "8"]
    assert gps["7"].position == LatLon(2.0, 1.0)


# GTA-UAV's annotations


def test_entry_as_published() -> None:
    entry = parse_entry(twins.gta_entry("500.png", {"4_0_6_13": 0.47, "5_0_12_27": 0.28}), "here")
    assert entry.photo == "500.png"
    assert entry.position == PlanePoint(4472.2036708036, 9460.91532053518)
    assert entry.height_m == 494.70794677734375
    assert [(match.tile, match.positive) for match in entry.matches] == [
        ("4_0_6_13.png", True), ("5_0_12_27.png", False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "x_m", "y_m"),
    [
        ("4_0_6_13.png", 4492.8, 9331.2),  # centres as published beside the names
        ("5_0_12_27.png", 4320.0, 9504.0),
        ("5_0_13_27.png", 4665.6, 9504.0),
        ("5_10_20.png", 3628.8, 7084.8),  # first release: zoom_x_y
        ("6_20_41.png", 3542.4, 7171.2),
        ("7_128_0_0.png", 86.4, 86.4),  # shifted by half a tile of 86.4 m
    ],
)
def test_tile_centres_are_the_published_ones(name, x_m, y_m) -> None:
    centre = tile_centre(name)
    assert centre is not None
    assert (centre.x_m, centre.y_m) == pytest.approx((x_m, y_m), abs=1e-9)


@given(JSON)
def test_any_json_is_an_entry_or_refused(item) -> None:
    with pytest.raises(DatasetError, match=r"^here: "):
        parse_entry(item, "here")


@given(st.data())
def test_an_entry_with_one_field_spoilt_is_read_or_refused(data) -> None:
    item = twins.gta_entry("500.png", {"4_0_6_13": 0.47, "5_0_12_27": 0.28})
    item[data.draw(st.sampled_from(sorted(item)))] = data.draw(JSON)
    entry = read_or_refused(lambda: parse_entry(item, "here"), "here")
    assert entry is None or isinstance(entry, Entry)
    assert entry is None or all(0 <= match.overlap <= 1 for match in entry.matches)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("drone_img_name", "../../secret.png", r"entry 1: drone_img_name holds .*no file name"),
        ("drone_loc_x_y", [1.0], r"drone_loc_x_y has 1 values instead of 2"),
        ("drone_loc_x_y", None, r"has no list drone_loc_x_y; get the annotation file again"),
        ("drone_loc_x_y", [1.0, "2"], r"drone_loc_x_y holds '2', no number"),
        ("pair_pos_semipos_sate_weight_list", [0.4], r"has 1 values instead of 2"),
        ("pair_pos_semipos_sate_weight_list", [0.4, 1.5], r"has overlap 1\.5, not within 0 … 1"),
        ("pair_pos_sate_img_list", ["9_0_1_1.png"], r"lists 9_0_1_1\.png as positive but not"),
        (
            "pair_pos_semipos_sate_img_list",
            ["4_0_6_13.png", "tile.png"],
            r"names tile 'tile\.png', not zoom_offset_x_y\.png",
        ),
        ("drone_metadata", [], r"drone_metadata is no object"),
        ("drone_metadata", {"height": True}, r"height holds True, no number"),
    ],
)
def test_bad_entries_are_refused_by_field(field, value, message, scratch) -> None:
    item = twins.gta_entry("500.png", {"4_0_6_13": 0.47, "5_0_12_27": 0.28})
    scratch.write_text(json.dumps([item | {field: value}]))
    with pytest.raises(DatasetError, match=message):
        read_entries(scratch)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{", r"file: is not JSON"),
        ("[" * 100_000, r"file: is not JSON"),
        ("[1" + "0" * 5000 + "]", r"file: is not JSON"),
        ("{}", r"file: is no list of photos"),
        ("[3]", r"file, entry 1: is no object"),
    ],
)
def test_files_that_are_no_annotations_are_refused(text, message, scratch) -> None:
    scratch.write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_entries(scratch)


def test_height_may_be_absent() -> None:
    item = twins.gta_entry("500.png", {"4_0_6_13": 0.47})
    del item["drone_metadata"]
    assert parse_entry(item, "here").height_m is None


# UAV-VisLoc's tables, and the positions of one's own data

PHOTOS_HEAD = "num,filename,date,lat,lon,height,Omega,Kappa,Phi1,Phi2\n"
BOUNDS_HEAD = "mapname,LT_lat_map,LT_lon_map,RB_lat_map,RB_lon_map,region\n"


def test_photo_table_with_byte_order_mark_and_blank_line(scratch) -> None:
    row = "1,01_0001.JPG,2018/10/1 10:10,29.77,115.97,466.4,1,2,-90.5,3\n\n"
    scratch.write_bytes(("\ufeff" + PHOTOS_HEAD + row).encode())
    (photo,) = read_photos(scratch)
    assert (photo.name, photo.position) == ("01_0001.JPG", LatLon(29.77, 115.97))
    assert (photo.height_m, photo.heading_deg) == (466.4, 269.5)


def test_photo_table_of_region_07_has_no_angles(scratch) -> None:
    scratch.write_text("num,filename,date,lat,lon,height\n1,07_0001.JPG,d,40.34,115.79,\n")
    (photo,) = read_photos(scratch)
    assert (photo.height_m, photo.heading_deg) == (None, None)


@pytest.mark.parametrize("name", ["satellite03.tif", "03.tif"])
def test_bounds_of_both_releases(name, scratch) -> None:
    scratch.write_text(f"{BOUNDS_HEAD}{name},32.355491,119.805926,32.29029,119.900052,Taizhou\n")
    assert read_bounds(scratch) == {"03": Bounds(32.29029, 119.805926, 32.355491, 119.900052)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"file: has no column filename, lat, lon \(columns: none\)"),
        ("filename,lat\n", r"file: has no column lon \(columns: filename, lat\)"),
        (PHOTOS_HEAD + "1,a.JPG,d,1\n", r"file, line 2: leaves lon empty"),
        (PHOTOS_HEAD + "1,a.JPG,d,x,2,3,4,5,6,7\n", r"line 2: lat is 'x', no number"),
        (PHOTOS_HEAD + "1,a.JPG,d,91,2,3,4,5,6,7\n", r"line 2: latitude 91\.0 is not within"),
        (PHOTOS_HEAD + "1,a.JPG,d,1,2,nan,4,5,6,7\n", r"line 2: height is 'nan', no number"),
        (PHOTOS_HEAD + "1,../a.JPG,d,1,2,3,4,5,6,7\n", r"line 2: '../a\.JPG' is no file name"),
        (
            PHOTOS_HEAD + "1,a.JPG,d,1,2,3,4,5,6,7\n2,a.JPG,d,1,2,3,4,5,6,7\n",
            r"line 3: repeats photo a\.JPG",
        ),
        (PHOTOS_HEAD + '1,"a,d\n', r"is not CSV"),
    ],
)
def test_bad_photo_tables_are_refused(text, message, scratch) -> None:
    scratch.write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_photos(scratch)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("map3.tif,32.3,119.8,32.2,119.9,T", r"line 2: mapname 'map3\.tif' is not satelliteNN"),
        ("03.tif,32.2,119.8,32.3,119.9,T", r"line 2: its left top corner is not north-west"),
        ("03.tif,32.3,119.8,32.2,,T", r"line 2: leaves RB_lon_map empty"),
        ("03.tif,32.3,219.8,32.2,119.9,T", r"line 2: longitude 219\.8 is not within"),
    ],
)
def test_bad_bounds_are_refused(row, message, scratch) -> None:
    scratch.write_text(f"{BOUNDS_HEAD}{row}\n")
    with pytest.raises(DatasetError, match=message):
        read_bounds(scratch)


def test_a_missing_or_binary_table_is_refused(scratch, tmp_path) -> None:
    with pytest.raises(DatasetError, match=r"none\.csv: cannot be read \(No such file"):
        read_photos(tmp_path / "none.csv")
    scratch.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match=r"file: is not UTF-8"):
        read_photos(scratch)


def test_a_position_given_twice_is_refused(scratch) -> None:
    scratch.write_text("path,lat,lon\na\\b.jpg,1,2\na/b.jpg,1,2\n")
    with pytest.raises(DatasetError, match=r"line 3: repeats a/b\.jpg; keep one row a view"):
        read_positions(scratch)


CELLS = st.text(st.sampled_from('aE1.-,"\n\r 9é')) | st.floats().map(repr)
TABLES = st.lists(st.lists(CELLS, max_size=6).map(",".join), max_size=5).map("\n".join)


@pytest.mark.parametrize(
    ("read", "head"),
    [
        (read_photos, "filename,lat,lon,height,Phi1\n"),
        (read_bounds, BOUNDS_HEAD),
        (read_positions, "path,lat,lon,height_m,heading_deg\n"),
    ],
)
@given(body=TABLES | st.text(), with_head=st.booleans())
def test_any_table_is_read_or_refused(read, head, scratch, body, with_head) -> None:
    content = (head if with_head else "") + body
    scratch.write_bytes(content.encode(errors="surrogatepass"))
    read_or_refused(lambda: read(scratch), str(scratch))


def test_a_map_is_found_by_its_region(tmp_path) -> None:
    bounds = Bounds(32.2, 119.8, 32.3, 119.9)
    twins.image(tmp_path / "satellite03.tif", 40)
    sheet = find_sheet(tmp_path, "03", bounds)
    assert (sheet.width, sheet.height, sheet.bounds) == (40, 40, bounds)
    with pytest.raises(DatasetError, match=r"satellite04\.tif: is missing"):
        find_sheet(tmp_path, "04", bounds)
