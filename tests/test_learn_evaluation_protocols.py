"""Protocols against what the public evaluators gave for the parity fixture, and distances."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from pyproj import Geod

from mobilegeo.errors import UsageError
from mobilegeo.learn.evaluation.distances import (
    degree_distances,
    haversine_m,
    mean_distance,
    sdm_at,
    within,
)
from mobilegeo.learn.evaluation.metrics import match_pairs
from mobilegeo.learn.evaluation.protocols import PROTOCOLS, EmbeddedSet, evaluate, find_protocol

TOLERANCE = 1e-6
"""Of fractions, and of metres. The evaluators keep recall in float32: 6e-8 of error."""
SHOWN = 84
"""Drone images of the fixture that show a place; one more shows none."""


@pytest.fixture(scope="module")
def fixture(shared_data):
    with np.load(shared_data / "parity" / "parity_fixture.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="module")
def expected(fixture):
    return json.loads(str(fixture["expected"]))


@pytest.fixture(scope="module")
def metrics(fixture):
    """What we give for each entry of `expected`, with the fixture's names; fractions and metres."""
    drone, tiles = (EmbeddedSet(fixture[k], fixture[f"{k}_l"]) for k in ("qd", "gs"))
    drones = EmbeddedSet(fixture["gd"], fixture["gd_l"])
    asked = np.isin(tiles.labels, drone.labels)
    tile_queries = EmbeddedSet(tiles.embeddings[asked], tiles.labels[asked])
    place = tiles.labels >= 0
    shown, places = drone.embeddings[:SHOWN], tiles.embeddings[place]

    def run(name, query, gallery, pairs=None):
        return evaluate(PROTOCOLS[name], query, gallery, pairs).metrics

    results = {
        "u1652_D2S": run("university1652-d2s", drone, tiles),
        "u1652_S2D": run("university1652-s2d", tile_queries, drones),
        "sample4geo_D2S(distractors=-1)": run("university1652-d2s-sample4geo", drone, tiles),
        "sample4geo_S2D(distractors=-1)": run(
            "university1652-s2d-sample4geo", tile_queries, drones
        ),
    }
    denseuav = run(
        "denseuav",
        EmbeddedSet(shown, drone.labels[:SHOWN], fixture["qpos"][:, ::-1]),
        EmbeddedSet(places, tiles.labels[place], fixture["gpos"][:, ::-1]),
    )
    gta = run(
        "gta-uav",
        EmbeddedSet(shown, positions=fixture["qxy"]),
        EmbeddedSet(places, positions=fixture["gxy"]),
        match_pairs(fixture["pos"].tolist(), len(places)),
    )
    return (
        results
        | {f"denseuav_{name}": value for name, value in denseuav.items()}
        | {f"gta_{name}": value for name, value in gta.items()}
    )


def test_every_entry_of_the_parity_fixture_agrees(metrics, expected) -> None:
    compared = 0
    for entry, value in expected.items():
        if isinstance(value, dict):
            for name, percent in value.items():
                ours = "R@1%" if name.startswith("R@top1") else name
                assert metrics[entry][ours] == pytest.approx(percent / 100.0, abs=TOLERANCE), entry
                compared += 1
        else:
            unit = 100.0 if entry in {"gta_AP", "gta_R@1", "gta_R@5"} else 1.0
            assert metrics[entry] == pytest.approx(value / unit, abs=TOLERANCE), entry
            compared += 1
    assert compared == 37


def test_parity_could_fail_each_rule_changes_the_numbers(metrics) -> None:
    official, dropping = (
        metrics[name]["AP"] for name in ("u1652_D2S", "sample4geo_D2S(distractors=-1)")
    )
    assert dropping - official > 0.05
    assert metrics["gta_AP"] != pytest.approx(official, abs=0.01)


def unit_vectors(count: int) -> np.ndarray:
    return np.eye(count, dtype=np.float32)


def test_dropping_distractors_ranks_against_places_that_are_asked_for() -> None:
    query = EmbeddedSet(unit_vectors(5)[:2], np.array([0, 1]))
    gallery = EmbeddedSet(unit_vectors(5), np.arange(5))
    official = evaluate(PROTOCOLS["sues200-d2s"], query, gallery)
    dropping = evaluate(PROTOCOLS["sues200-d2s-sample4geo"], query, gallery)
    assert (official.gallery, official.junk) == (5, 0)
    assert (dropping.gallery, dropping.junk) == (2, 3)
    assert official.protocol == "sues200-d2s"


def test_names_and_views() -> None:
    assert all(name == protocol.name for name, protocol in PROTOCOLS.items())
    directions = {"-d2s": ("drone", "satellite"), "-s2d": ("satellite", "drone")}
    for name, protocol in PROTOCOLS.items():
        for mark, views in directions.items():
            if mark in name:
                assert (protocol.query, protocol.gallery) == views
    with pytest.raises(UsageError, match=r"protocol unheard-of: is not known; choose from univ"):
        find_protocol("unheard-of")
    assert find_protocol("denseuav") is PROTOCOLS["denseuav"]


def test_records_state_units() -> None:
    result = evaluate(
        PROTOCOLS["gta-uav"],
        EmbeddedSet(unit_vectors(5)[:1], positions=np.zeros((1, 2))),
        EmbeddedSet(unit_vectors(5), positions=np.array([[3.0, 4.0]] * 5)),
        match_pairs([[0]], 5),
    )
    record = result.to_record()
    assert record["R@1 (%)"] == 100.0
    assert record["dis@1 (m)"] == 5.0
    assert record["SDM@3 (%)"] == pytest.approx(100.0 * np.exp(-0.005))
    assert record["protocol"] == "gta-uav"


def test_sdm_in_closed_form() -> None:
    distances = np.array([[0.0, 1.0, 2.0], [2.0, 0.0, 5.0]])
    first = (3.0 * 1.0 + 2.0 * np.exp(-0.5) + np.exp(-1.0)) / 6.0
    second = (3.0 * np.exp(-1.0) + 2.0 * 1.0 + np.exp(-2.5)) / 6.0
    assert sdm_at(distances, 3, 0.5) == pytest.approx((first + second) / 2.0)
    assert sdm_at(np.zeros((4, 10)), 10, 5000.0) == 1.0
    assert sdm_at(np.full((1, 1), 1e6), 1, 5000.0) == 0.0


def test_within_is_strict_and_dis_is_a_mean() -> None:
    distances = np.array([[5.0, 1.0], [4.9, 3.0]])
    assert within(distances, 5.0) == 0.5
    assert mean_distance(distances, 1) == pytest.approx(4.95)
    assert mean_distance(distances, 2) == pytest.approx(13.9 / 4.0)


def test_haversine_equals_a_geodesic_on_the_same_sphere() -> None:
    rng = np.random.default_rng(0)
    query = rng.uniform([-85.0, -179.0], [85.0, 179.0], (200, 2))
    ranked = query[:, None] + rng.uniform(-0.5, 0.5, (200, 3, 2))
    start = np.broadcast_to(query[:, None], ranked.shape).reshape(-1, 2)
    end = ranked.reshape(-1, 2)
    sphere = Geod(a=6_378_137.0, b=6_378_137.0)
    truth = sphere.inv(start[:, 1], start[:, 0], end[:, 1], end[:, 0])[2]
    assert haversine_m(query, ranked).ravel() == pytest.approx(truth, rel=1e-8)


def test_degrees_are_rounded_to_float32_as_in_denseuav() -> None:
    query, ranked = np.array([[30.0, 120.0]]), np.array([[[30.0, 120.0 + 3e-6]]])
    assert degree_distances(query, ranked).item() == 0.0  # below float32's step at 120
    east = degree_distances(query, ranked + np.array([0.0, 0.25]))
    assert east.item() == pytest.approx(0.25, abs=1e-5)


def test_what_a_protocol_needs_is_asked_for() -> None:
    labelled = EmbeddedSet(unit_vectors(5), np.arange(5))
    bare = replace(labelled, labels=None)
    university, gta, dense = (
        PROTOCOLS[name] for name in ("university1652-d2s", "gta-uav", "denseuav")
    )
    pairs = match_pairs([[0]] * 5, 5)
    with pytest.raises(UsageError, match="needs the labels of both sides"):
        evaluate(university, bare, labelled)
    with pytest.raises(UsageError, match="gta-uav: takes lists of right answers"):
        evaluate(gta, labelled, labelled)
    with pytest.raises(UsageError, match="takes labels, not lists"):
        evaluate(university, labelled, labelled, pairs)
    with pytest.raises(UsageError, match=r"positions of both sides; give them as \(lat, lon\)"):
        evaluate(dense, labelled, labelled)
    with pytest.raises(UsageError, match="labels: number 4 for 5 embeddings"):
        EmbeddedSet(unit_vectors(5), np.arange(4))
    with pytest.raises(UsageError, match="queries: are none"):
        evaluate(university, EmbeddedSet(np.zeros((0, 5)), np.zeros(0, np.int64)), labelled)
    located = replace(labelled, positions=np.zeros((5, 2)))
    with pytest.raises(UsageError, match="has 5 items, too few for the top 10"):
        evaluate(dense, located, located)
