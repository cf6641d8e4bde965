r"""Which parts of the simulation help on photos that are not simulated: one left out at a time.

Every variant trains the same head (InfoNCE alone) for the same number of steps on as many pairs
and differs in one thing: a part of the simulation (`Simulation`), a kind of imagery, or the range
of scales. Each is judged where training never was: real photos on the map of another flight
(`sheffield`, `caliterra`), worlds photographed in another season, views of a held-out scene; the
sites are those of `suite.py`. *Lead*: cosine of the best tile near a photo less that of the best
elsewhere, mean over the photos, which tells heads apart even where every photo is found.

    python benchmarks/simulation_study.py ../shared/data --sites runs/suite --out runs/study \
        --weights ../shared/weights/mobilenetv2_100_imagenet.safetensors
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mobilegeo.learn.datasets.simulated import Simulation
from mobilegeo.learn.evaluation.tables import Record, markdown_table
from mobilegeo.learn.layout.cache import Cache, build, load_pools, near_held_out
from mobilegeo.learn.layout.config import TrainConfig, load_config
from mobilegeo.learn.layout.loop import fit, prepare
from mobilegeo.learn.layout.objective import LayoutWeights
from mobilegeo.learn.layout.recall import recall_at_1
from mobilegeo.output.atomic import write_atomically
from suite import averaged
from suite_sites import AUTZEN, CALITERRA, SHEFFIELD, WORLD, Sizes, make_site, site_at
from tile_sets import TileSet

CONFIG = Path(__file__).parent.parent / "configs" / "nano.toml"
SITES = (SHEFFIELD, CALITERRA, f"{WORLD}2003", f"{WORLD}2004", AUTZEN)
NEAR_M = 25.0
MIDDLE_M = (80.0, 160.0)


@dataclass(frozen=True)
class Variant:
    """One way to simulate.

    Attributes:
        simulation: what makes the views differ.
        without: kinds of imagery that are left out.
        sides_m: range of the places' sides.
    """

    simulation: Simulation = field(default_factory=Simulation)
    without: tuple[str, ...] = ()
    sides_m: tuple[float, float] = (0.0, np.inf)


VARIANTS = {
    "everything": Variant(),
    "− ground (season, shadows, objects, rebuilt)": Variant(Simulation(ground=False)),
    "− cameras (colour, tone, haze, blur, noise)": Variant(Simulation(camera=False)),
    "− relief": Variant(Simulation(relief=False)),
    "− telemetry errors": Variant(Simulation(telemetry=False)),
    "− generated worlds": Variant(without=("world",)),
    "− scene with surface model": Variant(without=("scene",)),
    "− XYZ mosaics (with footprints)": Variant(without=("xyz",)),
    "− scales outside 80 … 160 m": Variant(sides_m=MIDDLE_M),
}


def kinds_of(config: TrainConfig, cache: Path) -> np.ndarray:
    """Kind of every source that is trained on, by the numbers that a cache has for them."""
    left_out = near_held_out(config, cache)
    _, pools = load_pools(config.sources, config.data_root, left_out)
    counts = [len(pool.members) for pool in pools]
    return np.repeat([spec.kind for spec in config.sources], counts)


def chosen(cache: Cache, kinds: np.ndarray, variant: Variant, pairs: int) -> Cache:
    """The first pairs of a cache that a variant allows."""
    low, high = variant.sides_m
    _, source, _, _, side = cache.places.T
    left_out = np.isin(kinds[source.astype(int)], variant.without)
    allowed = ~left_out & (side >= low) & (side <= high)
    return cache.subset(np.flatnonzero(allowed)[:pairs])


def trial(
    config: TrainConfig, variant: Variant, pairs: int, kinds: np.ndarray, sets: dict[str, TileSet]
) -> Record:
    """Trains one head and judges it."""
    trainer, trunk = prepare(replace(config, simulation=Simulation()))
    varied = replace(config, simulation=variant.simulation)
    training = chosen(build(varied, trunk, "train"), kinds, variant, pairs)
    validation = build(replace(config, simulation=Simulation()), trunk, "validation")
    fit(trainer, config, training, validation)
    head, channels = trainer.model.head, trainer.channels[-1]
    row: Record = {f"{n}: lead": float(t.leads(head, channels).mean()) for n, t in sets.items()}
    errors = np.concatenate([each.errors_m(head, channels) for each in sets.values()])
    row[f"within {NEAR_M:g} m, %"] = 100 * float((errors <= NEAR_M).mean())
    row["simulated R@1, %"] = 100 * recall_at_1(head, validation.looked_at(channels))
    return row


def study_parser(told: str) -> argparse.ArgumentParser:
    """What every study of the simulation is asked for; `told` is the script's docstring."""
    parser = argparse.ArgumentParser(description=told.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sites", type=Path, required=True, help="OUT of suite.py")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    return parser


def study_config(options: argparse.Namespace) -> TrainConfig:
    """The configuration of `nano` with the imagery and weights named."""
    overrides = [f"data_root={options.data.resolve()}", f"weights={options.weights.resolve()}"]
    return load_config(CONFIG, overrides)


def main() -> None:
    """Trains all variants and prints the table; what is finished is not repeated."""
    parser = study_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--groups", type=int, default=1024, help="simulated for each variant")
    parser.add_argument("--pairs", type=int, default=2400, help="each variant trains on")
    parser.add_argument("--steps", type=int, default=150)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    base = replace(
        study_config(options), exits=(), teachers=(), objective=LayoutWeights(),
        cache=options.out / "cache", groups=options.groups, steps=options.steps,
        checkpoint_every=options.steps,
    )  # fmt: skip
    _, trunk = prepare(replace(base, out=options.out))
    kinds = kinds_of(base, trunk.parent)
    sets = {}
    for name in SITES:
        site = site_at(name, options.data, options.sites / "sites")
        if not (site.folder / "truth.csv").exists():
            make_site(site, options.data, Sizes())
        sets[name] = TileSet.kept(site, trunk, options.out / "sets")
    rows: list[Record] = []
    for number, (name, variant) in enumerate(VARIANTS.items()):
        for seed in range(options.seeds):
            out = options.out / f"{number}-{seed}"
            note = out / "row.json"
            if not note.exists():
                config = replace(base, seed=seed, out=out)
                out.mkdir(parents=True, exist_ok=True)
                row = trial(config, variant, options.pairs, kinds, sets)
                write_atomically(note, json.dumps(row).encode())
            rows.append({"variant": name, **json.loads(note.read_text())})
        print(markdown_table(averaged(rows, digits=2), digits=2), flush=True)


if __name__ == "__main__":
    main()
