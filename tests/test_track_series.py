"""Telemetry over time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilegeo.errors import UsageError
from mobilegeo.geo import wrap_deg
from mobilegeo.metadata.telemetry import Telemetry, read_telemetry_csv
from mobilegeo.track.series import HOLD_S, TelemetrySeries

heading = st.floats(-180, 179.9)


def test_values_are_interpolated() -> None:
    series = TelemetrySeries([(1.0, Telemetry(agl_m=100.0)), (0.0, Telemetry(agl_m=80.0))])
    assert series.at(0.25).agl_m == pytest.approx(85.0)
    assert series.at(1.0).agl_m == 100.0


@given(heading, heading, st.floats(0, 1))
def test_angles_take_the_short_way(first, second, share) -> None:
    series = TelemetrySeries(
        [(0.0, Telemetry(heading_deg=first)), (1.0, Telemetry(heading_deg=second))]
    )
    found = series.at(share).heading_deg
    turn = wrap_deg(second - first)
    assert abs(wrap_deg(found - first)) <= abs(turn) + 1e-6
    assert abs(wrap_deg(found - (first + share * turn))) < 1e-6


def test_across_north_and_across_the_date_line() -> None:
    series = TelemetrySeries(
        [
            (0.0, Telemetry(heading_deg=350.0, lat=0.0, lon=179.9)),
            (1.0, Telemetry(heading_deg=10.0, lat=0.0, lon=-179.9)),
        ]
    )
    assert wrap_deg(series.at(0.5).heading_deg) == pytest.approx(0.0)
    assert abs(series.at(0.5).lon) == pytest.approx(180.0)


def test_gaps_are_not_bridged() -> None:
    series = TelemetrySeries([(0.0, Telemetry(agl_m=80.0)), (60.0, Telemetry(agl_m=90.0))])
    assert series.at(HOLD_S).agl_m == 80.0
    assert series.at(30.0) == Telemetry()
    assert series.at(60.0 - HOLD_S).agl_m == 90.0
    assert series.at(61.0).agl_m == 90.0
    assert series.at(60.1 + HOLD_S) == Telemetry()
    assert series.at(-HOLD_S).agl_m == 80.0
    assert TelemetrySeries([]).at(0.0) == Telemetry()


def test_what_one_record_alone_knows_counts_near_it() -> None:
    series = TelemetrySeries([(0.0, Telemetry(pitch_deg=-80.0)), (1.0, Telemetry(agl_m=90.0))])
    assert series.at(0.4) == Telemetry(pitch_deg=-80.0)
    assert series.at(0.6) == Telemetry(agl_m=90.0)


def test_csv_by_time(tmp_path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("time_s;heading_deg;agl_m\n0;10;80,5\n2,5;20;\n")
    rows = read_telemetry_csv(path, key="time_s").rows
    assert [(row.time_s, row.telemetry) for row in rows] == [
        (0.0, Telemetry(heading_deg=10.0, agl_m=80.5)),
        (2.5, Telemetry(heading_deg=20.0)),
    ]


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ("photo,agl_m\na.jpg,80\n", "time_s", "line 1: has no column 'time_s'; give the seconds"),
        ("time_s,agl_m\n0,80\n", "photo", "line 1: has no column 'photo'"),
        ("time_s,agl_m\n,80\n", "time_s", "line 2: has no time_s"),
        ("time_s,agl_m\nsoon,80\n", "time_s", "line 2: time_s 'soon' is no time"),
        ("photo,time_s\na.jpg,nan\n", "photo", "line 2: time_s 'nan' is no time"),
        ("photo,time_s\na.jpg,1e9\n", "photo", "line 2: time_s '1e9' is no time"),
    ],
)
def test_csv_that_cannot_be_meant(tmp_path, text, key, problem) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=problem):
        read_telemetry_csv(path, key=key)
