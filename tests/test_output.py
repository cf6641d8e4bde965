"""The written formats: structure, what is left out, and the way back."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rasterio.features import is_valid_geom

from mobilegeo.errors import UsageError
from mobilegeo.fix import Candidate, Fix
from mobilegeo.geo import LatLon, distance_m
from mobilegeo.output import WRITERS, read_fixes_jsonl, to_json_line, write_fixes

FIXES = [
    Fix(
        "a/DJI_0001.JPG",
        "fix",
        lat=44.0585,
        lon=-123.069,
        sigma_m=4.25,
        confidence=0.93,
        heading_deg=271.5,
        method="aligned",
        camera_lat=44.0586,
        camera_lon=-123.0691,
        candidates=(Candidate(44.0584, -123.0689, 0.81, 120.0),),
        timing_ms={"read": 20.0, "total": 215.5},
        details={"peak": 0.4},
    ),
    Fix("b.jpg", "no_fix", confidence=0.1, reason="flat"),
    Fix("c.jpg", "error", reason="truncated"),
]

GPX = "{http://www.topografix.com/GPX/1/1}"
KML = "{http://www.opengis.net/kml/2.2}"


def parse(path: Path) -> ElementTree.Element:
    return ElementTree.parse(path).getroot()  # noqa: S314 - we wrote it


finite = st.floats(allow_nan=False, allow_infinity=False)
maybe = st.none() | finite


@st.composite
def fixes(draw: st.DrawFn) -> Fix:
    found = draw(st.booleans())
    return Fix(
        photo=draw(st.text(max_size=20)),
        status="fix" if found else draw(st.sampled_from(["no_fix", "error"])),
        lat=draw(st.floats(-90, 90)) if found else None,
        lon=draw(st.floats(-180, 180)) if found else None,
        sigma_m=draw(maybe),
        confidence=draw(st.floats(0, 1)),
        heading_deg=draw(maybe),
        method=draw(st.sampled_from(["retrieval", "aligned", None])),
        reason=draw(st.text(max_size=20)),
        camera_lat=draw(maybe),
        camera_lon=draw(maybe),
        candidates=tuple(
            Candidate(*values) for values in draw(st.lists(st.tuples(*[finite] * 4), max_size=2))
        ),
        timing_ms=draw(st.dictionaries(st.sampled_from(["read", "total"]), finite)),
        details=draw(st.dictionaries(st.text(max_size=5), finite, max_size=2)),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("output")


@given(st.lists(fixes(), max_size=3))
def test_jsonl_round_trip(folder: Path, written: list[Fix]) -> None:
    path = folder / "fixes.jsonl"
    write_fixes(written, path)
    assert read_fixes_jsonl(path) == written


@given(st.lists(fixes(), max_size=3))
@example([Fix("a\r.jpg", "no_fix", reason='"\r\n;,')])
def test_csv_round_trip(folder: Path, written: list[Fix]) -> None:
    path = folder / "fixes.csv"
    write_fixes(written, path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(written)
    for row, fix in zip(rows, written, strict=True):
        assert (row["photo"], row["status"], row["reason"]) == (fix.photo, fix.status, fix.reason)
        assert row["method"] == (fix.method or "")
        numbers = {"total_ms": fix.timing_ms.get("total"), "confidence": fix.confidence}
        for name in ("lat", "lon", "sigma_m", "heading_deg", "camera_lat", "camera_lon"):
            numbers[name] = getattr(fix, name)
        for name, value in numbers.items():
            assert (float(row[name]) if row[name] else None) == value, name


@given(st.lists(fixes(), max_size=3))
def test_geojson_round_trip(folder: Path, written: list[Fix]) -> None:
    path = folder / "fixes.geojson"
    write_fixes(written, path)
    collection = json.loads(path.read_bytes())
    assert collection["type"] == "FeatureCollection"
    for feature, fix in zip(collection["features"], written, strict=True):
        assert feature["type"] == "Feature"
        assert feature["properties"] == json.loads(json.dumps(fix.to_record()))
        if fix.status == "fix":
            assert is_valid_geom(feature["geometry"])
            assert feature["geometry"] == {"type": "Point", "coordinates": [fix.lon, fix.lat]}
        else:
            assert feature["geometry"] is None


def test_record_of_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "fixes.jsonl"
    write_fixes(FIXES, path)
    lines = path.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [fix.to_record() for fix in FIXES]
    assert lines[0] == to_json_line(FIXES[0])


@pytest.mark.parametrize("suffix", WRITERS)
def test_nan_is_never_written(tmp_path: Path, suffix: str) -> None:
    broken = Fix(
        "nan.jpg",
        "fix",
        lat=math.nan,
        lon=1.0,
        sigma_m=math.inf,
        heading_deg=-math.inf,
        details={"peak": math.nan},
    )
    path = tmp_path / f"fixes{suffix}"
    write_fixes([broken, *FIXES], path)
    text = path.read_text(encoding="utf-8")
    without_name = text.replace("nan.jpg", "").lower()
    assert "nan" not in without_name
    assert "inf" not in without_name


def test_nan_becomes_null() -> None:
    record = json.loads(to_json_line(Fix("a", "no_fix", sigma_m=math.nan)))
    assert record["sigma_m"] is None


def test_numpy_scalars_are_numbers() -> None:
    fix = Fix("a", "no_fix", details={"peak": np.float32(0.5), "rows": np.int64(3)})  # type: ignore[dict-item]
    assert json.loads(to_json_line(fix))["details"] == {"peak": 0.5, "rows": 3}


def test_other_objects_have_no_place_in_json() -> None:
    with pytest.raises(TypeError, match="has no place in JSON"):
        to_json_line(Fix("a", "no_fix", details={"peak": object()}))  # type: ignore[dict-item]


def test_gpx_structure(tmp_path: Path) -> None:
    path = tmp_path / "fixes.gpx"
    east = Fix("east.jpg", "fix", lat=-17.0, lon=180.0, sigma_m=3.0, confidence=1.0)
    write_fixes([*FIXES, east], path)
    root = parse(path)
    assert root.tag == f"{GPX}gpx"
    assert root.attrib == {"version": "1.1", "creator": "MobileGeo"}
    first, second = root
    assert first.tag == second.tag == f"{GPX}wpt"
    assert float(first.attrib["lat"]) == pytest.approx(44.0585, abs=1e-9)
    assert float(first.attrib["lon"]) == pytest.approx(-123.069, abs=1e-9)
    assert float(second.attrib["lon"]) == -180.0  # the schema wants −180 ≤ lon < 180
    assert [child.tag for child in first] == [f"{GPX}name", f"{GPX}desc", f"{GPX}extensions"]
    assert first.findtext(f"{GPX}name") == "a/DJI_0001.JPG"
    assert first.findtext(f"{GPX}desc") == "± 4.2 m (1 sigma), confidence 0.93, aligned"
    values = {child.tag.split("}")[1]: child.text for child in first[2]}
    assert values == {"sigma_m": "4.250", "confidence": "0.930", "heading_deg": "271.500"}


def _points(text: str | None) -> list[tuple[float, ...]]:
    return [tuple(map(float, item.split(","))) for item in (text or "").split()]


def test_kml_structure(tmp_path: Path) -> None:
    path = tmp_path / "fixes.kml"
    write_fixes([*FIXES, Fix("exact.jpg", "fix", lat=1.0, lon=2.0)], path)
    document = parse(path)[0]
    assert document.tag == f"{KML}Document"
    points, circles = document.findall(f"{KML}Folder")
    names = [mark.findtext(f"{KML}name") for mark in points.findall(f"{KML}Placemark")]
    assert names == ["a/DJI_0001.JPG", "exact.jpg"]
    assert _points(points.findtext(f".//{KML}Point/{KML}coordinates")) == [(-123.069, 44.0585)]
    (circle,) = circles.findall(f"{KML}Placemark")
    style = document.find(f"{KML}Style")
    assert style is not None
    assert circle.findtext(f"{KML}styleUrl") == f"#{style.attrib['id']}"


def test_kml_circle_is_two_sigma_on_the_ground(tmp_path: Path) -> None:
    path = tmp_path / "fixes.kml"
    write_fixes(FIXES, path)
    ring = _points(parse(path).findtext(f".//{KML}Polygon//{KML}LinearRing/{KML}coordinates"))
    assert len(ring) == 65
    assert ring[0] == ring[-1]
    assert len(set(ring)) == 64
    centre = LatLon(44.0585, -123.069)
    radii = [distance_m(centre, LatLon(lat, lon)) for lon, lat in ring]
    assert radii == pytest.approx([8.5] * 65, abs=1e-3)
    twice_area = sum(
        a[0] * b[1] - b[0] * a[1]
        for a, b in zip(
            [(x + 123.069, y - 44.0585) for x, y in ring[:-1]],
            [(x + 123.069, y - 44.0585) for x, y in ring[1:]],
            strict=True,
        )
    )
    assert twice_area > 0  # counterclockwise


@pytest.mark.parametrize("suffix", [".gpx", ".kml"])
def test_names_that_xml_cannot_hold(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"fixes{suffix}"
    write_fixes([Fix("<&>\x01\udc80ü.jpg", "fix", lat=1.0, lon=2.0)], path)
    names = {element.text for element in parse(path).iter() if "name" in element.tag}
    assert "<&>\ufffd\ufffdü.jpg" in names


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = b"\xfc.jpg".decode("utf-8", errors="surrogateescape")
    for suffix in WRITERS:
        write_fixes([Fix(name, "no_fix")], tmp_path / f"fixes{suffix}")
    assert read_fixes_jsonl(tmp_path / "fixes.jsonl")[0].photo == name
    assert b"\r\n\xfc.jpg," in (tmp_path / "fixes.csv").read_bytes()


def test_extension_in_capitals(tmp_path: Path) -> None:
    write_fixes(FIXES, tmp_path / "FIXES.CSV")
    assert (tmp_path / "FIXES.CSV").read_text().startswith("photo,status,lat,lon,")


@pytest.mark.parametrize("suffix", WRITERS)
def test_no_fixes_at_all(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"none{suffix}"
    write_fixes([], path)
    assert path.exists()


@pytest.mark.parametrize("name", ["fixes.shp", "fixes", "fixes.geojson.gz"])
def test_unknown_extension(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        UsageError, match=r"unknown format.*\.jsonl, \.csv, \.geojson, \.gpx, \.kml"
    ):
        write_fixes(FIXES, tmp_path / name)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"fixes\.csv: there is no folder .*none; create it first"):
        write_fixes(FIXES, tmp_path / "none" / "fixes.csv")


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fixes.csv"
    path.write_text("old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UsageError, match=r"cannot be written .No space left"):
        write_fixes(FIXES, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


REJECTED = [
    ("{", "is not JSON"),
    ('{"photo": "a", "status": "no_fix", "sigma_m": NaN}', "NaN is not a JSON number"),
    ("[]", "is a list, not a JSON object"),
    ('{"status": "no_fix"}', "photo is null, not a text"),
    ('{"photo": "a", "status": "lost"}', 'status is "lost", not one of fix, no_fix, error'),
    ('{"photo": "a", "status": "fix", "lat": 1}', "is a fix without lat and lon"),
    ('{"photo": "a", "status": "fix", "lat": 91, "lon": 0}', "latitude 91.0 is not within"),
    ('{"photo": "a", "status": "fix", "lat": "1", "lon": 0}', 'lat is "1", not a number'),
    ('{"photo": "a", "status": "no_fix", "sigma_m": true}', "sigma_m is true, not a number"),
    ('{"photo": "a", "status": "no_fix", "sigma_m": 1e999}', "sigma_m is Infinity, not a finite"),
    ('{"photo": "a", "status": "no_fix", "method": 3}', "method is 3, not one of retrieval"),
    ('{"photo": "a", "status": "no_fix", "candidates": 3}', "candidates is 3, not a list"),
    ('{"photo": "a", "status": "no_fix", "candidates": [{}]}', "candidates: lat is null"),
    ('{"photo": "a", "status": "no_fix", "timing_ms": [1]}', "timing_ms is .1., not an object"),
    ('{"photo": "a", "status": "no_fix", "lat": 1' + "0" * 400 + "}", "lat is 1000.*, not a fin"),
]


@pytest.mark.parametrize(("line", "problem"), REJECTED)
def test_rejected_records(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "fixes.jsonl"
    path.write_text('{"photo": "ok", "status": "no_fix"}\n\n' + line + "\n")
    with pytest.raises(UsageError, match=rf"fixes\.jsonl, line 3.*{problem}.*; "):
        read_fixes_jsonl(path)


def test_missing_fixes_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.jsonl: cannot be read .*; check the path"):
        read_fixes_jsonl(tmp_path / "none.jsonl")


def test_unknown_keys_and_a_byte_order_mark_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "fixes.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"photo": "a", "status": "no_fix", "later": [1]}\r\n')
    assert read_fixes_jsonl(path) == [Fix("a", "no_fix")]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
records = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(FIXES[0].to_record(), json_values)
    | {"status": st.sampled_from(["fix", "no_fix"])},
)


@given(st.binary(max_size=60) | records.map(lambda record: json.dumps(record).encode()))
def test_the_reader_refuses_or_reads_anything(folder: Path, content: bytes) -> None:
    path = folder / "anything.jsonl"
    path.write_bytes(content)
    refused_at = str(path)
    try:
        assert all(isinstance(fix, Fix) for fix in read_fixes_jsonl(path))
    except UsageError as error:
        refused_at = error.where
    assert str(path) in refused_at
