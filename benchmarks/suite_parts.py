"""The parts of the suite: each gives one table, a row a contestant."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mobilegeo.evaluation.metrics import auroc
from mobilegeo.geo import LatLon, distance_m
from mobilegeo.learn.datasets.sources import SourceSpec, read_sources
from mobilegeo.learn.evaluation.benchmark_run import Settings as Asked
from mobilegeo.learn.evaluation.benchmark_run import evaluate_dataset
from mobilegeo.learn.evaluation.corruptions import CORRUPTIONS
from mobilegeo.learn.evaluation.embedding import ViewEmbedder
from mobilegeo.learn.evaluation.images import CLEAN, Condition
from mobilegeo.learn.evaluation.networks import EncoderNetwork
from mobilegeo.learn.evaluation.report import read_looks, survey_report
from mobilegeo.learn.evaluation.tables import Record
from mobilegeo.learn.simulate.dataset_writer import simulate
from mobilegeo.learn.simulate.image_ground import ImageGround
from mobilegeo.learn.simulate.settings import Settings
from outside import RIGHT_M
from real_drone import mobilegeo
from suite_judges import Look
from suite_run import SEVERITY, Contestant, Suite
from suite_sites import AUTZEN, CALITERRA, SHEFFIELD

SCENE = SourceSpec("scene", "scenes/autzen", top=0.5)
HELD_OUT = {
    "ucmerced": [SourceSpec("images", "tiles/ucmerced/test", gsd_m=0.3)],
    # Whole images are for test: a strip is for the training places that a dataset has to have.
    "autzen": [replace(SCENE, top=0.6), replace(SCENE, bottom=0.6)],
}
"""Imagery that no encoder may be trained on that is to be judged here."""

PROTOCOLS = ("university1652-d2s", "university1652-s2d")
NEAR_M = 50.0


def places(suite: Suite) -> list[Record]:
    """Simulated views of held-out places: recall and AP; and surveys of a held-out scene."""
    rows: list[Record] = []
    for contestant in suite.encoders:
        clean = _recalls(suite, contestant)["clean"]
        survey = suite.kept(f"survey-{contestant.key}", lambda c=contestant: _survey(suite, c))
        rows.append({
            "encoder": contestant.name,
            **clean,
            "survey median, m": survey["median_m"],
            "survey within 50 m, %": 100 * survey["within_50m"],
        })  # fmt: skip
    return rows


def worlds(suite: Suite) -> list[Record]:
    """Generated worlds, photographed in another season than mapped."""
    sites = [suite.site(name) for name in suite.sizes.world_names]
    return [
        {"encoder": c.name, **_placed([look for s in sites for look in suite.looks(c, s)])}
        for c in suite.contestants
    ]


def autzen(suite: Suite) -> list[Record]:
    """Views of a real scene with true relief, by pitch."""
    site = suite.site(AUTZEN)
    rows: list[Record] = []
    for contestant in suite.contestants:
        looks = suite.looks(contestant, site)
        row: dict[str, str | float | None] = {"encoder": contestant.name}
        for pitch in sorted({look.photo.split("_")[0] for look in looks}, reverse=True):
            band = [look for look in looks if look.photo.startswith(f"{pitch}_")]
            found = _placed(band)
            row[f"−{pitch}°: median, m"] = found["median, m"]
            row[f"−{pitch}°: within 25 m, %"] = found["within 25 m, %"]
        every = _placed(looks)
        rows.append(row | {name: found for name, found in every.items() if "tiles" in name})
    return rows


def sheffield(suite: Suite) -> list[Record]:
    """Real photos at −75° on a map of the other flight direction's photos."""
    return _one_site(suite, SHEFFIELD)


def caliterra(suite: Suite) -> list[Record]:
    """Real photos straight down on a map of every other one."""
    return _one_site(suite, CALITERRA)


def outside(suite: Suite) -> list[Record]:
    """Photos of elsewhere, with a plausible pose, on three maps."""
    sites = [suite.site(name) for name in suite.elsewhere_sites]
    rows: list[Record] = []
    for contestant in suite.contestants:
        own = [look for site in sites for look in suite.looks(contestant, site)]
        away = [look for site in sites for look in suite.looks(contestant, site, "elsewhere")]
        rows.append({
            "encoder": contestant.name,
            "own photos": len(own),
            "right places": sum(map(_right, own)),
            "photos of elsewhere": len(away),
            "fixes of these": sum(look.fix for look in away),
            **_told_apart(own, away),
        })  # fmt: skip
    return rows


def corruptions(suite: Suite) -> list[Record]:
    """Bad weather, light and motion."""
    site = suite.site(SHEFFIELD)
    rows: list[Record] = []
    for contestant in suite.encoders:
        recalls = _recalls(suite, contestant)
        row = {name: found["D2S R@1, %"] for name, found in recalls.items()}
        rows.append({"encoder": contestant.name, "percent": "simulated R@1", **row})
    for contestant in suite.contestants:
        clean = suite.looks(contestant, site)[:: suite.sizes.corrupted]
        looks = {CLEAN.name: clean}
        looks |= {name: suite.looks(contestant, site, name) for name in CORRUPTIONS}
        row = {name: _percent_right(seen) for name, seen in looks.items()}
        rows.append({"encoder": contestant.name, "percent": "sheffield within 25 m", **row})
    return rows


def speed(suite: Suite) -> list[Record]:
    """`mobilegeo bench` of one encoder a name, in turns, in a process of its own."""
    chosen = tuple({c.name: c for c in reversed(suite.encoders)}.values())[::-1]
    key = "-".join(contestant.key for contestant in chosen)
    named = [word for c in chosen for word in ("--encoder", c.source)]
    count = suite.sizes.bench_photos
    command = ("bench", "--json", "--photos", count, *named)
    record = suite.kept(f"speed-{key}", lambda: json.loads(mobilegeo(*command)))
    rows: list[Record] = []
    for contestant, found in zip(chosen, record["encoders"], strict=True):
        single = {each["output"]: each for each in found["network"] if each["batch"] == 1}
        rows.append({
            "encoder": contestant.name,
            "file, MB": contestant.megabytes,
            "dimensions": contestant.encoder.spec.embedding_dim,
            "embed, ms": single["embed"]["latency_ms"]["p50"],
            "features, ms": single["features"]["latency_ms"]["p50"],
            "align, ms": found["stages_ms"]["align"]["p50"],
            "photo to fix, ms": found["stages_ms"]["total"]["p50"],
        })  # fmt: skip
    return rows


PARTS: dict[str, Callable[[Suite], list[Record]]] = {
    part.__name__: part
    for part in (places, worlds, autzen, sheffield, caliterra, outside, corruptions, speed)
}
"""By the name that `--only` takes, in the order of the report."""


def _one_site(suite: Suite, name: str) -> list[Record]:
    site = suite.site(name)
    (sift,) = (suite.looks(c, site) for c in suite.contestants if c.encoder is None)
    rows: list[Record] = []
    for contestant in suite.contestants:
        looks = suite.looks(contestant, site)
        apart = None if contestant.encoder is None else _apart(looks, sift)
        rows.append({"encoder": contestant.name, **_placed(looks), "from sift, m": apart})
    return rows


def _apart(looks: Sequence[Look], others: Sequence[Look]) -> float | None:
    """Median distance between the places of two contestants, which owes nothing to the truth."""
    places = [
        [LatLon(look.lat, look.lon) for look in pair]
        for pair in zip(looks, others, strict=True)
        if all(look.lat is not None for look in pair)
    ]
    return float(np.median([distance_m(*pair) for pair in places])) if places else None


def _right(look: Look) -> bool:
    return look.error_m is not None and look.error_m <= RIGHT_M


def _percent_right(looks: Sequence[Look]) -> float:
    return 100 * float(np.mean([_right(look) for look in looks]))


def _placed(looks: Sequence[Look]) -> dict[str, float | str | None]:
    """What a row tells of photos of the map."""
    return {
        "photos": len(looks),
        "within 25 m, %": _percent_right(looks),
        "median, m": _quantile([look.error_m for look in looks], 0.5),
        "90 % within, m": _quantile([look.error_m for look in looks], 0.9),
        "fixes": sum(look.fix for look in looks),
        "wrong fixes": sum(look.fix and not _right(look) for look in looks),
        "tiles mean, m": _mean([look.tiles_error_m for look in looks]),
        "tiles median, m": _quantile([look.tiles_error_m for look in looks], 0.5),
        "tiles 90 % within, m": _quantile([look.tiles_error_m for look in looks], 0.9),
        "tiles within 50 m, %": _within([look.tiles_error_m for look in looks]),
        "top 5 tiles within 50 m, %": _within([look.top5_error_m for look in looks]),
        "ms": round(float(np.median([look.milliseconds for look in looks]))),
    }


def _told_apart(own: Sequence[Look], away: Sequence[Look]) -> dict[str, float | None]:
    """How well the evidence tells right places from wrong ones, whatever the constants."""
    evidence = np.array([look.evidence for look in (*own, *away)])
    right = np.array([_right(look) for look in (*own, *away)])
    area = auroc(evidence, right)
    least = np.quantile(evidence[right], 0.1) if right.any() else np.inf
    surer = np.array([look.evidence >= least for look in away])
    return {
        "AUROC of the evidence, %": None if area is None else 100 * area,
        "of elsewhere as sure as 90 % of the right, %": 100 * float(surer.mean()),
    }


def _quantile(errors: Sequence[float | None], share: float) -> float | None:
    """A quantile over all photos, those without a place infinitely far; `None` where infinite."""
    ordered = sorted(np.inf if error is None else error for error in errors)
    value = ordered[min(len(ordered) - 1, int(share * len(ordered)))]
    return value if np.isfinite(value) else None


def _mean(errors: Sequence[float | None]) -> float | None:
    """Over all photos; `None` where one has no place."""
    found = [error for error in errors if error is not None]
    return float(np.mean(found)) if len(found) == len(errors) else None


def _within(errors: Sequence[float | None]) -> float | None:
    """Percent of all photos within `NEAR_M`; `None` where nothing was looked for."""
    if all(error is None for error in errors):
        return None
    return 100 * float(np.mean([error is not None and error <= NEAR_M for error in errors]))


def _recalls(suite: Suite, contestant: Contestant) -> dict[str, dict[str, float]]:
    """Recall and AP on the simulated places, percent, by condition; made once for all parts."""
    root = _simulated(suite)
    return suite.kept(f"places-{contestant.key}", lambda: _measure_recalls(suite, contestant, root))


def _measure_recalls(
    suite: Suite, contestant: Contestant, root: Path
) -> dict[str, dict[str, float]]:
    embedder = ViewEmbedder(EncoderNetwork(contestant.encoder), suite.out / "embeddings")
    bad = tuple(Condition(name, SEVERITY) for name in CORRUPTIONS)
    asked = Asked(protocols=PROTOCOLS, conditions=(CLEAN, *bad))
    rows = evaluate_dataset(embedder, "university1652", root, asked).rows
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        metrics = found.setdefault(row.condition.name, {})
        for name in ("R@1", "AP"):
            metrics[f"{row.task[:3]} {name}, %"] = 100 * row.result.metrics[name]
    return found


def _simulated(suite: Suite) -> Path:
    """The dataset of simulated views; made when first needed."""
    suite.kept("site-places", lambda: _simulate(suite))
    return suite.out / "places"


def _simulate(suite: Suite) -> None:
    sizes = suite.sizes
    settings = Settings(
        places=sizes.places, test_share=0.9, views=sizes.views, size_px=224, footprint_m=120.0
    )
    grounds = [
        ImageGround(name, [source for spec in specs for source in read_sources(spec, suite.data)])
        for name, specs in HELD_OUT.items()
    ]
    simulate(grounds, suite.out / "places", settings, progress=suite.progress)


def _survey(suite: Suite, contestant: Contestant) -> dict[str, float]:
    (scene,) = read_sources(SCENE, suite.data)
    looks = read_looks(suite.data / "drone")
    seeds = range(suite.sizes.surveys)
    return survey_report(contestant.encoder.embed, scene, looks, seeds).to_record()
