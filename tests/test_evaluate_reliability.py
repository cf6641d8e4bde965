"""Reliability, risk at coverage, and their plot, against hand calculation."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from mobilegeo.cli.evaluate import evaluate as evaluate_command
from mobilegeo.errors import UsageError
from mobilegeo.evaluation import Truth, evaluate
from mobilegeo.evaluation.plot import write_plot
from mobilegeo.evaluation.reliability import (
    calibration_error,
    reliability,
    risk_at_coverage,
)
from mobilegeo.fix import Fix
from mobilegeo.geo import LatLon, destination
from mobilegeo.output import write_fixes

HERE = LatLon(53.4, -1.5)

CONFIDENCE = np.array([0.95, 0.91, 0.62, 0.68, 0.05, 1.0])
RIGHT = np.array([True, False, True, True, False, True])


def test_the_reliability_curve_by_hand():
    low, middle, high = reliability(CONFIDENCE, RIGHT)
    assert (low.low, low.high, low.fixes, low.right) == (0.0, 0.1, 1, 0.0)
    assert (middle.low, middle.high, middle.fixes) == (0.6, 0.7, 2)
    assert middle.mean_confidence == pytest.approx(0.65)
    assert middle.right == 1.0
    # A confidence of 1 belongs to the last interval.
    assert (high.fixes, high.right) == (3, pytest.approx(2 / 3))


def test_the_calibration_error_by_hand():
    bins = reliability(CONFIDENCE, RIGHT)
    expected = (1 * 0.05 + 2 * 0.35 + 3 * abs(2.86 / 3 - 2 / 3)) / 6
    assert calibration_error(bins) == pytest.approx(expected)
    assert calibration_error(()) is None


def test_an_honest_confidence_is_reliable():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(size=20_000)
    bins = reliability(confidence, rng.uniform(size=20_000) < confidence)
    assert [item.fixes > 1500 for item in bins] == [True] * 10
    assert calibration_error(bins) < 0.02
    overconfident = reliability(confidence, rng.uniform(size=20_000) < confidence**2)
    assert calibration_error(overconfident) == pytest.approx(1 / 2 - 1 / 3, abs=0.02)


def test_risk_at_coverage_by_hand():
    inside = np.array([True, False, True, True, True, True])
    # Six photos on the map, five with a fix: 1.0, 0.95, 0.68, 0.62, 0.05.
    half = risk_at_coverage(CONFIDENCE, RIGHT, inside, 6, 0.5)
    # Down to 0.68 there are 0.95, 0.91 (a photo from elsewhere), 0.68 and 1.0.
    assert (half.confidence, half.wrong_fix_rate) == (0.68, 1 / 4)
    most = risk_at_coverage(CONFIDENCE, RIGHT, inside, 6, 5 / 6)
    assert (most.confidence, most.wrong_fix_rate) == (0.05, 2 / 6)
    every = risk_at_coverage(CONFIDENCE, RIGHT, inside, 6, 1.0)
    assert (every.confidence, every.wrong_fix_rate) == (None, None)


def test_equal_confidences_are_answered_together():
    confidence = np.full(4, 0.5)
    right = np.array([True, True, True, False])
    risk = risk_at_coverage(confidence, right, np.ones(4, bool), 4, 0.5)
    assert risk.wrong_fix_rate == 0.25


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.booleans()), max_size=30),
    st.floats(0.01, 1.0),
)
def test_risk_and_reliability_hold_for_any_fixes(fixes, coverage):
    confidence = np.array([c for c, _, _ in fixes])
    inside = np.array([i for _, _, i in fixes], dtype=bool)
    right = np.array([r for _, r, _ in fixes], dtype=bool) & inside
    bins = reliability(confidence, right)
    assert sum(item.fixes for item in bins) == len(fixes)
    assert all(item.low <= item.mean_confidence <= item.high + 1e-12 for item in bins)
    risk = risk_at_coverage(confidence, right, inside, len(fixes), coverage)
    if risk.confidence is None:
        assert inside.sum() < max(1.0, coverage * len(fixes))
    else:
        answered = (confidence >= risk.confidence) & inside
        assert answered.sum() >= coverage * len(fixes) - 1e-6
        assert 0.0 <= risk.wrong_fix_rate <= 1.0


def some_fixes():
    fixes, truth = [], []
    for number in range(40):
        error_m = 4.0 if number % 5 else 400.0
        point = destination(HERE, 10.0 * number, error_m)
        confidence = 0.5 + 0.012 * number if number % 5 else 0.3
        fixes.append(Fix(f"{number}", "fix", point.lat, point.lon, 5.0, confidence))
        truth.append(Truth(f"{number}", HERE))
    return fixes, truth


def test_evaluate_reports_both_in_json():
    record = json.loads(json.dumps(evaluate(*some_fixes()).to_record(), allow_nan=False))
    assert record["confidence_auroc"] == 1.0
    assert [risk["coverage"] for risk in record["risk_at_coverage"]] == [0.5, 0.8, 0.9, 0.95, 1.0]
    assert [risk["wrong_fix_rate"] for risk in record["risk_at_coverage"]] == [
        0.0, 0.0, 8 / 40, 8 / 40, 8 / 40,
    ]  # fmt: skip
    assert record["reliability"][0] == {
        "low": 0.3, "high": 0.4, "fixes": 8, "mean_confidence": pytest.approx(0.3), "right": 0.0,
    }  # fmt: skip
    assert 0.0 < record["calibration_error"] < 1.0


def test_the_plot_is_drawn(tmp_path):
    fixes, truth = some_fixes()
    write_plot(evaluate(fixes, truth), tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        colours = image.getcolors(1 << 20)
        size = image.size
    assert size[0] > size[1] > 400
    assert sum(count for count, colour in colours if colour == (0, 0x60, 0xB0)) > 500
    # Without a single fix there are axes all the same.
    write_plot(evaluate([], truth), tmp_path / "empty.png")
    with Image.open(tmp_path / "empty.png") as image:
        colours = image.getcolors(1 << 20)
    assert not [count for count, colour in colours if colour == (0, 0x60, 0xB0)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.png", "plot.png"]


def test_a_plot_of_another_kind_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"plot.jpg: is not a .png file; name the plot with"):
        write_plot(evaluate(*some_fixes()), tmp_path / "plot.jpg")
    with pytest.raises(UsageError, match="cannot be written"):
        write_plot(evaluate(*some_fixes()), tmp_path / "nowhere" / "plot.png")


def test_the_command_draws_and_prints(tmp_path):
    fixes, truth = some_fixes()
    write_fixes(fixes, tmp_path / "fixes.jsonl")
    rows = [f"{row.photo},{HERE.lat},{HERE.lon}" for row in truth]
    (tmp_path / "truth.csv").write_text("\n".join(["photo,lat,lon", *rows]))
    app = typer.Typer()
    app.command()(evaluate_command)
    paths = [f"--fixes={tmp_path / 'fixes.jsonl'}", f"--truth={tmp_path / 'truth.csv'}"]
    result = CliRunner().invoke(app, [*paths, f"--plot={tmp_path / 'plot.png'}"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "plot.png").is_file()
    assert "surest 50 %" in result.output
    assert "surest 100 %" in result.output
    assert "confidence error" in result.output
