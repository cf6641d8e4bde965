"""Photos one after the other, each read while the one before is located."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import cv2
import pytest

from locate_kit import BlockEncoder, Ground, a_view, build_ground_pack
from mobilegeo.locate.batch import locate_photos
from mobilegeo.locate.localizer import Localizer
from mobilegeo.locate.records import Options
from mobilegeo.locate.stopwatch import STAGES, Stopwatch
from mobilegeo.metadata.telemetry import Telemetry, TelemetryTable

KNOWN = Telemetry(heading_deg=0.0, pitch_deg=-90.0, roll_deg=0.0, agl_m=100.0, hfov_deg=61.93)
NOTHING = TelemetryTable("", ())
BROKEN = (1, 4)


@pytest.fixture(scope="module")
def ground():
    return Ground()


@pytest.fixture(scope="module")
def localizer(ground, tmp_path_factory):
    pack = build_ground_pack(tmp_path_factory.mktemp("pack"), ground)
    return Localizer(pack, BlockEncoder(), Options(retrieval_only=True))


@pytest.fixture
def files(ground, tmp_path):
    """Seven photos along a line, two of them broken."""
    paths = [tmp_path / f"{number}.png" for number in range(7)]
    for number, path in enumerate(paths):
        image = ground.photo(a_view(), 20.0 * number - 60.0, 10.0)
        cv2.imwrite(str(path), image[..., ::-1])
    for number in BROKEN:
        paths[number].write_bytes(paths[number].read_bytes()[:3000])
    return paths


def test_answers_come_in_order_and_errors_stay_their_photos(localizer, files):
    fixes = [trace.fix for trace in locate_photos(localizer, files, NOTHING, KNOWN)]
    assert [Path(fix.photo) for fix in fixes] == files
    assert [n for n, fix in enumerate(fixes) if fix.status == "error"] == list(BROKEN)
    alone = [localizer.locate(files[n], telemetry=KNOWN) for n in (0, 6)]
    assert [(fix.lat, fix.lon) for fix in alone] == [(fixes[n].lat, fixes[n].lon) for n in (0, 6)]
    assert "is damaged or cut off" in fixes[1].reason


def test_every_record_has_all_times_those_of_errors_too(localizer, files):
    for trace in locate_photos(localizer, files, NOTHING, KNOWN):
        timing = trace.fix.timing_ms
        assert tuple(timing) == (*STAGES, "total")
        assert timing["read"] > 0
        assert timing["total"] >= sum(timing[stage] for stage in STAGES) - 0.1


def test_reading_counts_though_it_was_done_before():
    watch = Stopwatch(0.25)
    timing = watch.milliseconds()
    assert timing["read"] == 250.0
    assert 250.0 <= timing["total"] < 10_000.0


def test_the_next_photos_are_read_while_one_is_located(localizer, files, monkeypatch):
    """The first answer is held back until the second photo was asked for."""
    second = threading.Event()
    read, answer = localizer.read, localizer.answer

    def reading(path, telemetry=None):
        if path == str(files[2]):
            second.set()
        return read(path, telemetry)

    def answering(outcome, prior=None):
        assert second.wait(30.0)
        return answer(outcome, prior)

    monkeypatch.setattr(localizer, "read", reading)
    monkeypatch.setattr(localizer, "answer", answering)
    assert len(list(locate_photos(localizer, files, NOTHING, KNOWN))) == len(files)


def test_an_interruption_is_prompt(localizer, files, monkeypatch):
    read = localizer.read
    asked = []

    def reading(path, telemetry=None):
        asked.append(path)
        time.sleep(0.01)
        return read(path, telemetry)

    def interrupted(outcome, prior=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(localizer, "read", reading)
    monkeypatch.setattr(localizer, "answer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(locate_photos(localizer, files * 50, NOTHING, KNOWN))
    assert len(asked) <= 4
