"""Evaluation: closed forms, matching of photos, the truth table and the command."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from mobilegeo.cli.evaluate import evaluate as evaluate_command
from mobilegeo.errors import UsageError
from mobilegeo.evaluation import Truth, evaluate, match_photos, read_truth_csv
from mobilegeo.evaluation.metrics import auroc, error_m, radius_in_sigmas
from mobilegeo.fix import Fix
from mobilegeo.geo import LatLon, LocalFrame, destination
from mobilegeo.output import write_fixes

HERE = LatLon(53.4, -1.5)


def fix_at(
    photo: str,
    error_m: float,
    *,
    sigma_m: float | None = 10.0,
    confidence: float = 0.5,
    heading_deg: float | None = None,
) -> Fix:
    point = destination(HERE, 77.0, error_m)
    return Fix(photo, "fix", point.lat, point.lon, sigma_m, confidence, heading_deg)


def test_errors_against_hand_calculation() -> None:
    fixes = [fix_at(f"{error}", error) for error in (4.0, 8.0, 20.0, 40.0, 200.0)]
    fixes += [Fix("lost", "no_fix"), Fix("broken", "error")]
    truth = [Truth(fix.photo, HERE) for fix in fixes] + [Truth("missing", HERE)]
    result = evaluate(fixes, truth)
    assert (result.photos, result.fixes, result.fix_rate) == (8, 5, 5 / 8)
    assert result.median_error_m == pytest.approx(20.0, abs=1e-6)
    assert result.mean_error_m == pytest.approx(272 / 5, abs=1e-6)
    assert result.p90_error_m == pytest.approx(40 + 0.6 * 160, abs=1e-6)
    assert [item.of_photos for item in result.within] == [2 / 8, 3 / 8, 4 / 8, 4 / 8]
    assert [item.of_fixes for item in result.within] == [2 / 5, 3 / 5, 4 / 5, 4 / 5]
    assert (result.wrong_fixes, result.wrong_fix_rate) == (1, 1 / 5)
    assert result.photos_without_record == ("missing",)


def test_wrong_m_is_an_option() -> None:
    fixes = [fix_at("a", 4.0), fix_at("b", 20.0)]
    truth = [Truth("a", HERE), Truth("b", HERE)]
    assert evaluate(fixes, truth, wrong_m=10.0).wrong_fixes == 1
    for length_m in (0, -1, math.inf, math.nan):
        with pytest.raises(UsageError, match=f"wrong_m {length_m}: is not a positive length"):
            evaluate(fixes, truth, wrong_m=length_m)


def test_photos_outside_the_map() -> None:
    fixes = [
        fix_at("right", 5.0, confidence=0.9),
        fix_at("ghost", 5.0, confidence=0.2),
        Fix("away", "no_fix"),
    ]
    truth = [Truth("right", HERE), Truth("ghost", None), Truth("away", None)]
    result = evaluate(fixes, truth)
    assert (result.photos, result.fixes) == (1, 1)
    assert (result.outside_photos, result.outside_wrong_fixes) == (2, 1)
    assert (result.wrong_fixes, result.wrong_fix_rate) == (1, 0.5)
    assert result.confidence_auroc == 1.0
    assert result.median_error_m == pytest.approx(5.0)


def test_normal_errors_have_the_nominal_coverage() -> None:
    rng = np.random.default_rng(0)
    count = 3000
    sigmas = rng.uniform(2.0, 20.0, count)
    offsets = sigmas[:, None] * rng.normal(size=(count, 2))
    lat, lon = LocalFrame(HERE).to_degrees(offsets[:, 0], offsets[:, 1])
    fixes = [Fix(f"{i}", "fix", lat[i], lon[i], float(sigmas[i]), 0.5) for i in range(count)]
    calibration = evaluate(fixes, [Truth(fix.photo, HERE) for fix in fixes]).calibration
    four_errors = 4 * math.sqrt(0.25 / count)
    assert calibration.fixes == count
    assert calibration.within_1_sigma == pytest.approx(1 - math.exp(-0.5), abs=four_errors)
    assert calibration.within_2_sigma == pytest.approx(1 - math.exp(-2.0), abs=four_errors)
    assert calibration.coverage_68 == pytest.approx(0.68, abs=four_errors)
    assert calibration.coverage_95 == pytest.approx(0.95, abs=four_errors)
    assert calibration.median_error_sigma == pytest.approx(math.sqrt(2 * math.log(2)), abs=0.06)


def test_coverage_radii() -> None:
    assert radius_in_sigmas(0.95) == pytest.approx(2.4477, abs=1e-4)
    assert radius_in_sigmas(0.68) == pytest.approx(1.5096, abs=1e-4)
    assert radius_in_sigmas(1 - math.exp(-0.5)) == pytest.approx(1.0)


def test_fixes_without_sigma_are_not_calibrated() -> None:
    fixes = [fix_at("a", 5.0, sigma_m=None), fix_at("b", 5.0, sigma_m=0.0), fix_at("c", 5.0)]
    calibration = evaluate(fixes, [Truth(fix.photo, HERE) for fix in fixes]).calibration
    assert (calibration.fixes, calibration.within_1_sigma) == (1, 1.0)


def test_heading_errors_wrap() -> None:
    fixes = [
        fix_at("a", 1.0, heading_deg=359.0),
        fix_at("b", 1.0, heading_deg=-170.0),
        fix_at("c", 1.0, heading_deg=5.0),
        fix_at("d", 1.0),
    ]
    truth = [
        Truth("a", HERE, heading_deg=3.0),
        Truth("b", HERE, heading_deg=180.0),
        Truth("c", HERE),
        Truth("d", HERE, heading_deg=9.0),
    ]
    result = evaluate(fixes, truth)
    assert result.headings == 2
    assert result.median_heading_error_deg == pytest.approx(7.0)


def test_auroc_by_hand() -> None:
    scores = np.array([0.9, 0.6, 0.6, 0.2])
    right = np.array([True, True, False, False])
    # Pairs: 0.9 beats both, 0.6 ties one and beats one: (1 + 1 + ½ + 1) / 4.
    assert auroc(scores, right) == 3.5 / 4
    assert auroc(scores, ~right) == 0.5 / 4
    assert auroc(scores, np.ones(4, dtype=bool)) is None
    assert auroc(np.zeros(0), np.zeros(0, dtype=bool)) is None


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=12))
def test_auroc_counts_pairs(pairs: list[tuple[int, bool]]) -> None:
    good = [score for score, right in pairs if right]
    bad = [score for score, right in pairs if not right]
    wins = [(a > b) + 0.5 * (a == b) for a in good for b in bad]
    result = auroc(
        np.array([score for score, _ in pairs], dtype=float),
        np.array([right for _, right in pairs], dtype=bool),
    )
    assert result == (pytest.approx(np.mean(wins)) if wins else None)


def test_nothing_to_count_gives_none() -> None:
    result = evaluate([], [Truth("a", HERE)])
    assert (result.fixes, result.fix_rate, result.median_error_m) == (0, 0.0, None)
    assert result.within[0].of_fixes is None
    assert json.loads(json.dumps(result.to_record(), allow_nan=False))["coverage_95"] is None


def test_record_is_flat() -> None:
    record = evaluate([fix_at("a", 20.0)], [Truth("a", HERE)]).to_record()
    assert record["within_10m"] == 0.0
    assert record["within_25m"] == record["within_25m_of_fixes"] == 1.0
    assert all(not isinstance(value, dict) for value in record.values())


def test_a_fix_without_position_is_refused() -> None:
    with pytest.raises(UsageError, match="fix of a: has no position"):
        error_m(Fix("a", "fix"), HERE)


def names(fixes: list[str], truth: list[str]) -> list[tuple[str, str]]:
    matching = match_photos(
        [Fix(name, "no_fix") for name in fixes], [Truth(name, HERE) for name in truth]
    )
    return [(fix.photo, row.photo) for fix, row in matching.pairs]


@pytest.mark.parametrize(
    ("fix", "truth"),
    [
        ("demo/photos/1.jpg", "1.JPG"),
        ("1.jpg", "photos/1.jpg"),
        ("./photos/1.jpg", "/home/me/photos/1.jpg"),
        ("C:\\flight\\1.jpg", "flight/1.jpg"),
    ],
)
def test_matching_by_file_name(fix: str, truth: str) -> None:
    assert names([fix], [truth, "other.jpg"]) == [(fix, truth)]


def test_matching_prefers_the_longer_shared_path() -> None:
    truth = ["day1/1.jpg", "day2/1.jpg"]
    fixes = ["x/day2/1.jpg", "x/day1/1.jpg"]
    assert names(fixes, truth) == [(fixes[0], truth[1]), (fixes[1], truth[0])]


def test_a_path_of_its_own_comes_before_a_file_name() -> None:
    matching = match_photos(
        [Fix("b/1.jpg", "no_fix"), Fix("a/1.jpg", "no_fix")], [Truth("a/1.jpg", HERE)]
    )
    assert [fix.photo for fix, _ in matching.pairs] == ["a/1.jpg"]
    assert matching.without_truth == ("b/1.jpg",)


def test_names_that_differ_in_case_only() -> None:
    assert names(["a.jpg", "A.jpg"], ["A.jpg", "a.jpg"]) == [("a.jpg", "a.jpg"), ("A.jpg", "A.jpg")]


def test_ambiguous_truth() -> None:
    with pytest.raises(UsageError, match=r"photo 1\.jpg: matches both a/1.jpg and b/1.jpg"):
        names(["1.jpg"], ["a/1.jpg", "b/1.jpg"])


def test_repeated_photo() -> None:
    with pytest.raises(UsageError, match=r"matches the fixes of both 1\.jpg and 1\.jpg"):
        names(["1.jpg", "1.jpg"], ["1.jpg"])


def test_nothing_in_common() -> None:
    with pytest.raises(UsageError, match=r"names none of the fixes' photos .b …, a ….; use the"):
        evaluate([fix_at("a", 1.0)], [Truth("b", HERE)])


def test_truth_table(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_bytes(
        b"\xef\xbb\xbfPhoto; lat; lon; note; heading_deg; agl_m\r\n"
        b'"a, b.jpg"; 53.5 ; -1.25; x;;\r\n'
        b"\r\n"
        b"away.jpg;;;;10;99.5\r\n"
    )
    assert read_truth_csv(path) == [
        Truth("a, b.jpg", LatLon(53.5, -1.25)),
        Truth("away.jpg", None, 10.0, 99.5),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", r"truth\.csv: has no column photo, lat, lon .columns: none.; start the file with"),
        ("photo,latitude,lon\n", r"has no column lat .columns: photo, latitude, lon."),
        ("photo,lat,lon\n", r"truth\.csv: has no rows; add one row a photo"),
        ("photo,lat,lon\na,1\n", r"line 2: has 2 cells, the header has 3"),
        ("photo,lat,lon\n\na,1,\n", r"line 3: has only one of lat and lon"),
        ("photo,lat,lon\na,x,2\n", r"line 2: lat is 'x', not a number within ±90"),
        ("photo,lat,lon\na,91,2\n", r"line 2: lat is '91', not a number within ±90"),
        ("photo,lat,lon\na,nan,2\n", r"line 2: lat is 'nan'"),
        ("photo;lat;lon\na;1,5;2\n", r"line 2: lat is '1,5'.*decimal point"),
        ("photo,lat,lon,heading_deg\na,1,2,400\n", r"heading_deg is '400', not .* within ±360"),
        ("photo,lat,lon\n,1,2\n", r"line 2: names no photo"),
        ("photo,lat,lon\na,1,2\nb,1,2\na,3,4\n", r"line 4: repeats photo a of line 2"),
        ('photo,lat,lon\n"a,1,2\n', r"line 2: is not CSV .*; correct the quotes"),
    ],
)
def test_rejected_truth(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "truth.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=problem):
        read_truth_csv(path)


def test_unreadable_truth(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.csv: cannot be read"):
        read_truth_csv(tmp_path / "none.csv")
    path = tmp_path / "latin.csv"
    path.write_bytes(b"photo,lat,lon\n\xfc.jpg,1,2\n")
    with pytest.raises(UsageError, match=r"is not UTF-8 text; save it as CSV UTF-8"):
        read_truth_csv(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("truth")


@given(st.binary(max_size=60) | st.text('photo,;lan"\n\r 1.-').map(str.encode))
def test_the_truth_reader_refuses_or_reads_anything(folder: Path, content: bytes) -> None:
    path = folder / "anything.csv"
    path.write_bytes(b"photo,lat,lon\n" + content)
    refused_at = str(path)
    try:
        assert read_truth_csv(path)
    except UsageError as error:
        refused_at = error.where
    assert str(path) in refused_at


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1),
            st.floats(-90, 90),
            st.floats(-180, 180),
        ),
        min_size=1,
        unique_by=lambda row: row[0],
    )
)
def test_truth_round_trip(folder: Path, rows: list[tuple[str, float, float]]) -> None:
    path = folder / "truth.csv"
    quoted = [(photo.replace('"', '""'), lat, lon) for photo, lat, lon in rows]
    lines = [f'"{photo}",{lat!r},{lon!r}' for photo, lat, lon in quoted]
    path.write_text("\n".join(["photo,lat,lon", *lines]), encoding="utf-8")
    assert read_truth_csv(path) == [Truth(name, LatLon(lat, lon)) for name, lat, lon in rows]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    fixes = [fix_at("p/a.jpg", 8.0, confidence=0.9, heading_deg=3.0), fix_at("b.jpg", 90.0)]
    write_fixes([*fixes, Fix("odd.jpg", "error")], tmp_path / "fixes.jsonl")
    rows = [f"{name},{HERE.lat},{HERE.lon},1.5" for name in ("a.jpg", "b.jpg", "late.jpg")]
    rows.append("away.jpg,,,")
    (tmp_path / "truth.csv").write_text("\n".join(["photo,lat,lon,heading_deg", *rows]))
    return ["--fixes", str(tmp_path / "fixes.jsonl"), "--truth", str(tmp_path / "truth.csv")]


def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(evaluate_command)
    return app


def test_command_prints_one_json_object(files: list[str]) -> None:
    result = CliRunner().invoke(command(), [*files, "--json", "--wrong-m", "100"])
    record = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (record["photos"], record["fixes"], record["wrong_fixes"]) == (3, 2, 0)
    assert record["photos_without_record"] == ["late.jpg", "away.jpg"]
    assert record["photos_without_truth"] == ["odd.jpg"]


def test_command_prints_a_table(files: list[str]) -> None:
    result = CliRunner().invoke(command(), files)
    assert result.exit_code == 0
    assert "49.0 m" in result.stdout  # median of 8 and 90
    assert "50.0 % of fixes; error above 50 m" in result.stdout
    assert "1.5°" in result.stdout
    words = " ".join(result.stdout.split())
    assert "outside the map 1 photos, 0 of them wrongly given a fix" in words
    assert "2 in the truth, but not among the fixes: late.jpg, away.jpg" in result.stdout


def test_command_help_has_an_example() -> None:
    assert "mobilegeo evaluate --fixes" in CliRunner().invoke(command(), ["--help"]).stdout
