from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilegeo.camera import CameraModel, Pose
from mobilegeo.errors import UsageError
from mobilegeo.geo import LatLon
from mobilegeo.metadata.telemetry import COLUMNS, RANGES, Telemetry, read_telemetry_csv

FULL = Telemetry(90.0, -80.0, 2.0, 120.0, 70.0, 28.0, -82.0, 5.0)


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


# --- the values ---------------------------------------------------------------------------------


def test_views_of_the_values() -> None:
    assert FULL.pose == Pose(90.0, -80.0, 2.0, 120.0)
    assert FULL.camera == CameraModel(70.0)
    assert FULL.position == LatLon(28.0, -82.0)


def test_nothing_known() -> None:
    assert Telemetry().pose == Pose()
    assert Telemetry().camera is None
    assert Telemetry().position is None


def test_over_keeps_known_values_of_the_first() -> None:
    merged = Telemetry(heading_deg=0.0, agl_m=50.0).over(FULL)
    assert merged == Telemetry(0.0, -80.0, 2.0, 50.0, 70.0, 28.0, -82.0, 5.0)


def test_over_does_not_lend_the_spread_of_another_position() -> None:
    assert Telemetry(lat=1.0, lon=2.0).over(FULL).sigma_m is None
    assert Telemetry(sigma_m=9.0).over(FULL).sigma_m == 9.0


def test_over_with_nothing_changes_nothing() -> None:
    assert Telemetry().over(FULL) == FULL
    assert FULL.over(Telemetry()) == FULL


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"heading_deg": 361.0}, "heading_deg 361.0: is not within -360 … 360; give degrees"),
        ({"pitch_deg": math.nan}, "pitch_deg nan: is not within"),
        ({"pitch_deg": 100.0}, "-90 looks straight down"),
        ({"agl_m": 0.0}, "agl_m 0.0.*in metres"),
        ({"hfov_deg": math.inf}, "hfov_deg inf"),
        ({"lat": 91.0, "lon": 0.0}, "lat 91.0"),
        ({"lat": 1.0}, "half known; give both or neither"),
        ({"sigma_m": -1.0}, "sigma_m -1.0"),
    ],
)
def test_values_that_cannot_be_meant(values: dict[str, float], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        Telemetry(**values)


# --- the file -----------------------------------------------------------------------------------


def test_all_columns_and_empty_cells(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv",
        f"{','.join(COLUMNS)}\na.jpg,90,-80,2,120,70,28,-82,5\nb.jpg,,,,,,,,\n",
    )
    table = read_telemetry_csv(path)
    assert len(table) == 2
    assert table.lookup("anywhere/a.jpg") == FULL
    assert table.lookup("b.jpg") == Telemetry()
    assert table.lookup("c.jpg") == Telemetry()


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("photo,agl_m,heading_deg\na b.jpg,120.5,-3\n", "utf-8-sig"),
        ("photo;agl_m;heading_deg\r\na b.jpg;120,5;-3\r\n", "utf-8"),
        ("Photo\tHEADING_DEG\tagl_m\na b.jpg\t-3\t120.5", "utf-8"),
        ('\n"photo", "agl_m" , heading_deg\n\n "a b.jpg", 120.5 , "-3.0"\n,,\n', "utf-8"),
        ("photo,agl_m,heading_deg,\na b.jpg,120.5,-3,\n", "utf-8"),
        ("photo,agl_m,heading_deg,hfov_deg\na b.jpg,120.5,-3\n", "utf-8"),
    ],
    ids=["bom", "semicolon-crlf-decimal-comma", "tab", "spaces-quotes", "trailing", "short-row"],
)
def test_ways_to_write_the_same(tmp_path: Path, text: str, encoding: str) -> None:
    # A space between a closing quote and the separator is not CSV.
    text = text.replace('" ,', '",')
    table = read_telemetry_csv(write(tmp_path / "t.csv", text, encoding))
    assert table.lookup("a b.jpg") == Telemetry(heading_deg=-3.0, agl_m=120.5)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", r"t\.csv: is empty; begin with a line of columns: photo,"),
        ("heading_deg\n90\n", r"line 1: has no column 'photo'"),
        ("filename,agl_m\n", r"'filename' is unknown; call it 'photo'"),
        ("photo,altitude\n", r"line 1: column 'altitude' is unknown; call it 'agl_m'"),
        ("photo,yaw\n", r"'yaw' is unknown; call it 'heading_deg'"),
        ("photo,latitude\n", r"call it 'lat'"),
        ("photo,heading_rad\n", r"'heading_rad' is unknown; if it is meant as 'heading_deg', conv"),
        ("photo,hedding_deg\n", r"meant as 'heading_deg'"),
        ("photo,temperature\n", r"'temperature' is unknown; remove it; known are photo, heading"),
        ("photo,lat,lon,lat\n", r"'lat' stands twice"),
        ("photo,agl_m\na.jpg,12\nb.jpg,high\n", r"line 3: agl_m 'high' is not a number; give the"),
        ("photo,agl_m\na.jpg,nan\n", r"'nan' is not a number"),
        ('photo,agl_m\na.jpg,"1,234"\n', r"'1,234' is not a number"),
        ("photo,agl_m\na.jpg,inf\n", r"agl_m inf is not within 0.5 … 20000"),
        ("photo,pitch_deg\n\na.jpg,180\n", r"line 3: pitch_deg 180 is not within .*straight down"),
        ("photo,lat,lon\na.jpg,95,0\n", r"line 2: lat 95 is not within -90 … 90; give degrees"),
        ("photo,lat,lon\na.jpg,28,\n", r"line 2: has only one of lat and lon"),
        ("photo,agl_m\n,12\n", r"line 2: names no photo"),
        ("photo,agl_m\na.jpg,12,13\n", r"line 2: has more cells"),
        ("photo,\na.jpg,12\n", r"line 2: '12' stands under no column"),
        ("photo\na.jpg\nA.JPG\n", r"line 3: photo A.JPG stands in line 2 already"),
        ('photo,agl_m\n"a.jpg,12\n', r"line \d: is not CSV .*correct the quotes"),
    ],
)
def test_files_that_cannot_be_meant(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        read_telemetry_csv(write(tmp_path / "t.csv", text))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.csv: cannot be read \(No such file"):
        read_telemetry_csv(tmp_path / "gone.csv")
    with pytest.raises(UsageError, match="cannot be read"):
        read_telemetry_csv(tmp_path)
    with pytest.raises(UsageError, match="is not UTF-8 text; save it as CSV UTF-8"):
        read_telemetry_csv(write(tmp_path / "t.csv", "photo\nphöto.jpg\n", "latin-1"))


def test_lookup_by_path_then_by_name(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv",
        "photo,agl_m\none/IMG.JPG,1\ntwo\\IMG.JPG,2\n./three/../three/only.jpg,3\n",
    )
    table = read_telemetry_csv(path)
    assert table.lookup("/data/one/IMG.JPG").agl_m == 1.0
    assert table.lookup(Path("data/two/img.jpg")).agl_m == 2.0
    assert table.lookup("elsewhere/ONLY.jpg").agl_m == 3.0
    with pytest.raises(UsageError, match=r"lines 2, 3 could all mean four/IMG\.JPG; write the"):
        table.lookup("four/IMG.JPG")


def test_lookup_takes_the_longest_path_that_fits(tmp_path: Path) -> None:
    table = read_telemetry_csv(write(tmp_path / "t.csv", "photo,agl_m\nI.JPG,1\ntwo/I.JPG,2\n"))
    assert table.lookup("one/I.JPG").agl_m == 1.0
    assert table.lookup("two/I.JPG").agl_m == 2.0
    # The end of a folder's name is not its name.
    assert table.lookup("forty-two/I.JPG").agl_m == 1.0


_NAMES = st.text(
    st.characters(categories=("L", "N"), include_characters=" .,;'\"_-"), min_size=1, max_size=12
).map(lambda name: f"x{name}x.jpg")
_TELEMETRY = st.fixed_dictionaries(
    {},
    optional={
        name: st.floats(low, high)
        for name, (low, high, _) in RANGES.items()
        if name not in {"lat", "lon"}
    },
)
_POSITIONS = st.none() | st.tuples(st.floats(-90, 90), st.floats(-180, 180))


@given(
    rows=st.dictionaries(_NAMES, st.tuples(_TELEMETRY, _POSITIONS), max_size=4),
    delimiter=st.sampled_from(",;\t"),
)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    rows: dict[str, tuple[dict[str, float], tuple[float, float] | None]],
    delimiter: str,
) -> None:
    if len({name.casefold() for name in rows}) < len(rows):
        return
    expected = {
        name: Telemetry(**values, **dict(zip(("lat", "lon"), position or (), strict=False)))
        for name, (values, position) in rows.items()
    }
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter)
    writer.writerow(COLUMNS)
    for name, telemetry in expected.items():
        cells = [getattr(telemetry, column) for column in COLUMNS[1:]]
        writer.writerow([name, *("" if cell is None else repr(cell) for cell in cells)])
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    table = read_telemetry_csv(write(path, buffer.getvalue()))
    assert {name: table.lookup(name) for name in expected} == expected


@given(
    st.binary(max_size=200) | st.text(max_size=100).map(lambda t: b"photo,lat,lon\n" + t.encode())
)
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_bytes(content)
    try:
        table = read_telemetry_csv(path)
    except UsageError:
        return
    assert all(row.photo.name for row in table.rows)
