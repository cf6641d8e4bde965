"""The evaluation suite: its baselines against closed forms and other code, its bookkeeping."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import rasterio
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import from_origin
from safetensors.torch import save_file

from mobilegeo.camera import CameraModel
from mobilegeo.encoder import load_encoder
from mobilegeo.errors import ResourceError, UsageError
from mobilegeo.geo import LatLon, LocalFrame, distance_m
from mobilegeo.locate.calibration import NEUTRAL, calibration_for, shipped
from mobilegeo.maps import open_map
from mobilegeo.metadata.telemetry import Telemetry
from mobilegeo.photo import Photo
from nadir_mosaic import adjust
from outside import Trial, chances
from plain_imagenet import PlainImageNet, write_plain_imagenet
from sift_map import SiftMap
from suite import BEGIN, END, averaged, between_markers
from suite_judges import Look
from suite_parts import _apart, _placed, _told_apart
from suite_run import Contestant, Suite
from suite_sites import Sizes

GSD_M = 0.5
MAP_PX = 600


def texture(seed: int) -> np.ndarray:
    """Blobs of many sizes, uint8 [MAP_PX, MAP_PX, 3]."""
    rng = np.random.default_rng(seed)
    total = np.zeros((MAP_PX, MAP_PX))
    for cell in (6, 12, 24):
        coarse = rng.normal(0, 1, (MAP_PX // cell, MAP_PX // cell))
        total += coarse.repeat(cell, axis=0).repeat(cell, axis=1)
    return np.clip(128 + 30 * total, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)


def photo_of(image: np.ndarray) -> Photo:
    """A photo straight down, its top in the north, at `GSD_M` a pixel."""
    height, width = image.shape[:2]
    lens = CameraModel(60.0)
    known = Telemetry(0.0, -90.0, 0.0, agl_m=GSD_M * lens.focal_px(width), hfov_deg=60.0)
    return Photo(
        source="photo.jpg", full_size=(width, height), pose=known.pose, camera=lens,
        telemetry=known, image=np.ascontiguousarray(image),
    )  # fmt: skip


@pytest.fixture(scope="module")
def sift_map(tmp_path_factory: pytest.TempPathFactory) -> tuple[SiftMap, LocalFrame]:
    path = tmp_path_factory.mktemp("sift") / "map.tif"
    frame = LocalFrame(LatLon(47.0, 8.0))
    half = MAP_PX * GSD_M / 2
    with rasterio.open(
        path, "w", driver="GTiff", width=MAP_PX, height=MAP_PX, count=3, dtype="uint8",
        crs=frame.crs, transform=from_origin(-half, half, GSD_M, GSD_M),
    ) as file:  # fmt: skip
        file.write(np.moveaxis(texture(1), 2, 0))
    return SiftMap(open_map([path]), load_encoder().spec), frame


def test_sift_finds_a_cut_of_the_map_where_it_was_cut(sift_map):
    found, frame = sift_map
    top, left, height, width = 120, 330, 200, 240
    place, inliers = found.locate(photo_of(texture(1)[top : top + height, left : left + width]))
    east = (left + width / 2 - MAP_PX / 2) * GSD_M
    north = (MAP_PX / 2 - top - height / 2) * GSD_M
    assert inliers >= 10
    assert place is not None
    assert distance_m(place, frame.point(east, north)) < 0.5


def test_sift_finds_no_place_for_another_ground(sift_map):
    assert sift_map[0].locate(photo_of(texture(2)[:200, :240])) == (None, 0)


def test_sift_finds_no_place_for_a_photo_without_structure(sift_map):
    assert sift_map[0].locate(photo_of(np.full((200, 240, 3), 99, np.uint8))) == (None, 0)


def test_plain_imagenet_is_timms_own_network(tmp_path):
    torch.manual_seed(0)
    weights = tmp_path / "weights.safetensors"
    original = timm.create_model("mobilenetv2_100", num_classes=1001, pad_type="same").eval()
    save_file(original.state_dict(), str(weights))
    image = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    with torch.inference_mode():
        pixels = torch.from_numpy(image).permute(0, 3, 1, 2).float() / 127.5 - 1
        pooled = original.forward_features(pixels).mean(dim=(2, 3)).numpy()
        middle = PlainImageNet(weights).eval()(pixels)[1].numpy()
    encoder = load_encoder(write_plain_imagenet(weights, tmp_path / "imagenet.onnx"))
    encoded = encoder.encode(image)
    cosine = (encoded.embedding * pooled).sum(axis=1) / np.linalg.norm(pooled, axis=1)
    assert cosine == pytest.approx(1.0, abs=1e-4)
    assert encoded.features == pytest.approx(np.moveaxis(middle, 1, 3), abs=1e-3)


@given(seed=st.integers(0, 2**31))
def test_adjustment_recovers_frames_from_their_overlaps(seed):
    rng = np.random.default_rng(seed)
    count = 7
    a = rng.uniform(0.05, 0.2, count) * np.exp(1j * rng.uniform(-np.pi, np.pi, count))
    b = rng.uniform(-80, 80, count) + 1j * rng.uniform(-80, 80, count)
    chain = [(k, k + 1) for k in range(count - 1)]
    pairs = [(i, j, a[i] / a[j], (b[i] - b[j]) / a[j]) for i, j in [*chain, (0, 3), (2, 6)]]
    found_a, found_b = adjust(count, pairs, b)
    assert found_a == pytest.approx(a, abs=1e-9)
    assert found_b == pytest.approx(b, abs=1e-6)


def test_frames_that_do_not_hang_together_are_refused():
    pairs = [(0, 1, 1 + 0j, 5 + 0j), (2, 3, 1 + 0j, 5 + 0j)]
    with pytest.raises(ResourceError, match="do not all overlap"):
        adjust(4, pairs, np.arange(4) * (1 + 1j))


@given(before=st.text(alphabet="ab\n#"), after=st.text(alphabet="ab\n#"))
def test_a_page_keeps_what_lies_outside_the_markers(before, after):
    page = f"{before}{BEGIN}\nold\n{END}\n{after}"
    assert between_markers(page, "new") == f"{before}{BEGIN}\nnew\n{END}\n{after}"


def test_a_page_without_markers_is_kept_and_gets_them():
    assert between_markers("# Models\n", "new") == f"# Models\n\n{BEGIN}\nnew\n{END}\n"


def look(error_m: float | None, *, fix: bool) -> Look:
    return Look("p", "own", True, 10.0, 0.5, fix, error_m, error_m, 40.0)


def test_a_row_counts_photos_without_a_place_as_wrong():
    errors = [(1.0, True), (3.0, True), (30.0, True), (None, False)]
    row = _placed([look(error, fix=fix) for error, fix in errors])
    assert row["within 25 m, %"] == 50.0
    assert row["median, m"] == 30.0
    assert row["90 % within, m"] is None
    assert (row["fixes"], row["wrong fixes"]) == (3, 1)
    assert row["tiles within 50 m, %"] == 75.0
    assert row["top 5 tiles within 50 m, %"] == 100.0


def test_rows_of_one_name_become_one_with_its_spread():
    errors, counts = [2.0, 3.0, 4.0], [5, 5, 6]
    rows = [
        {"encoder": "nano", "median, m": error, "photos": 45, "fixes": count, "tiles, m": tiles}
        for error, count, tiles in zip(errors, counts, (1.0, None, 3.0), strict=True)
    ]
    other = {"encoder": "first", "median, m": 9.0, "photos": 45, "fixes": 1, "tiles, m": None}
    together, alone = averaged([*rows, other])
    assert together["median, m"] == "3.0 ± 1.0"
    assert together["photos"] == 45
    assert together["fixes"] == f"5.3 ± {np.std(counts, ddof=1):.1f}"
    assert together["tiles, m"] is None
    assert alone == other


def test_contestants_are_apart_by_the_median_over_photos_that_both_place():
    at = LocalFrame(LatLon(47.0, 8.0)).point

    def placed(east_m: float | None) -> Look:
        point = at(east_m or 0.0, 0.0)
        return replace(
            look(1.0, fix=True), lat=None if east_m is None else point.lat, lon=point.lon
        )

    ours = [placed(value) for value in (1.0, 2.0, 3.0, 50.0, None)]
    theirs = [placed(value) for value in (2.0, 2.5, 7.0, None, 9.0)]
    assert _apart(ours, theirs) == pytest.approx(1.0, abs=1e-3)
    assert _apart(ours[3:], theirs[3:]) is None


def test_evidence_is_judged_by_what_it_lets_through():
    right = [replace(look(1.0, fix=True), evidence=value) for value in (0.2, 0.6, 0.8)]
    away = [replace(look(None, fix=False), evidence=value) for value in (0.1, 0.3, 0.5, 0.9)]
    found = _told_apart(right, away)
    pairs = [a.evidence > b.evidence for a in right for b in away]
    assert found["AUROC of the evidence, %"] == pytest.approx(100 * np.mean(pairs))
    # 90 % of the right ones are at least as sure as 0.28.
    assert found["of elsewhere as sure as 90 % of the right, %"] == 75.0


def test_without_a_right_place_nothing_can_be_told_apart():
    found = _told_apart([look(None, fix=False)], [look(None, fix=False)])
    assert found == {
        "AUROC of the evidence, %": None,
        "of elsewhere as sure as 90 % of the right, %": 0.0,
    }


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """The shipped network in a file with another hash."""
    (first,) = Contestant.of("first")
    model = onnx.load(str(first.encoder.path))
    model.doc_string = "mine"
    onnx.save(model, str(tmp_path / "mine.onnx"))
    return tmp_path / "mine.onnx"


def test_a_name_holds_several_encoders(mine):
    pair = Contestant.of(f"nano={mine},first")
    assert [(c.name, c.source) for c in pair] == [("nano", str(mine)), ("nano", "first")]
    assert pair[0].key != pair[1].key
    assert [c.name for c in Contestant.of(f"first,{mine}")] == ["first", "mine"]


def test_a_calibration_beside_the_file_counts_and_has_results_of_its_own(mine):
    (before,) = Contestant.of(str(mine))
    assert calibration_for(before.encoder) == NEUTRAL
    neutral = before.calibrated_key
    (first,) = Contestant.of("first")
    ours = {"format_version": 1, "encoder_sha256": before.encoder.sha256}
    record = asdict(shipped("first")) | ours
    mine.with_suffix(".calibration.json").write_text(json.dumps(record))
    (after,) = Contestant.of(str(mine))
    assert calibration_for(after.encoder).aligned == shipped("first").aligned
    assert after.key == before.key
    assert len({neutral, after.calibrated_key, first.calibrated_key}) == 3


def test_an_outcome_is_made_once(tmp_path):
    made = []
    suite = Suite(tmp_path, tmp_path / "out", ())
    for _ in range(2):
        assert suite.kept("step", lambda: made.append(1) or [1, 2]) == [1, 2]
    assert made == [1]
    assert list(suite.seconds) == ["step"]


def test_other_sizes_need_another_folder(tmp_path):
    Suite(tmp_path, tmp_path / "out", (), Sizes(photos=3))
    with pytest.raises(UsageError, match="begun with other sizes"):
        Suite(tmp_path, tmp_path / "out", (), Sizes(photos=4))


def test_a_photo_turned_away_has_no_chance():
    away = Trial("map", "p", "own", True, False, "known", 1.0, margin=1.0, agreement=1.0)
    assert chances([away]).tolist() == [0.0]
