"""What the parts of the suite share: contestants, sites, and results that are kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from mobilegeo.encoder.base import Encoder
from mobilegeo.encoder.registry import load_encoder
from mobilegeo.errors import UsageError
from mobilegeo.evaluation import Truth
from mobilegeo.learn.evaluation.corruptions import corrupt
from mobilegeo.locate.calibration import calibration_for
from mobilegeo.maps.record import FORMAT_VERSION
from mobilegeo.output.atomic import make_folder, write_atomically
from mobilegeo.photo import Photo
from outside import photos_of, strangers
from suite_judges import EncoderJudge, Look, SiftJudge
from suite_sites import AUTZEN, SEED, SHEFFIELD, Site, Sizes, make_site, site_at

SEVERITY = 3
"""Of the corruptions of real photos."""
ELSEWHERE = "elsewhere"
OWN = "own"
KEPT = "kept"
"""Folder of the results of single steps."""


@dataclass(frozen=True)
class Contestant:
    """What is judged.

    Attributes:
        name: in the tables.
        source: as `load_encoder` takes it; empty for SIFT.
        encoder: the network; `None` for SIFT.
    """

    name: str
    source: str = ""
    encoder: Encoder | None = None

    @classmethod
    def of(cls, text: str) -> tuple[Contestant, ...]:
        """Encoders: [NAME=]ENCODER[,ENCODER…], each a shipped name or a file, which lends its name.

        Several with one name are what one recipe gave, as from several seeds.
        """
        name, _, sources = text.rpartition("=")
        return tuple(cls(name or Path(s).stem, s, load_encoder(s)) for s in sources.split(","))

    @property
    def key(self) -> str:
        """What tells a network from others."""
        return "sift" if self.encoder is None else self.encoder.sha256[:12]

    @property
    def calibrated_key(self) -> str:
        """What tells its answers from others', and its own with other constants or packs."""
        if self.encoder is None:
            return self.key
        constants = hashlib.sha256(repr(calibration_for(self.encoder)).encode()).hexdigest()
        return f"{self.key}-{constants[:6]}-{FORMAT_VERSION}"

    @property
    def megabytes(self) -> float:
        """Size of the model's file."""
        return self.encoder.path.stat().st_size / 1e6


@dataclass
class Suite:
    """One run of the suite.

    Attributes:
        data: folder of the real imagery.
        out: folder of everything that is made and kept.
        contestants: what is judged, SIFT with an encoder of `None`.
        sizes: how much of everything; `out` belongs to one choice.
        seconds: what each step took when it was made.
    """

    data: Path
    out: Path
    contestants: tuple[Contestant, ...]
    sizes: Sizes = field(default_factory=Sizes)
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        make_folder(self.out / KEPT)
        record, path = asdict(self.sizes), self.out / "sizes.json"
        if path.exists() and json.loads(path.read_text()) != record:
            raise UsageError(self.out, "was begun with other sizes", "give another --out")
        write_atomically(path, json.dumps(record).encode())

    @property
    def encoders(self) -> tuple[Contestant, ...]:
        """Without SIFT."""
        return tuple(c for c in self.contestants if c.encoder is not None)

    @property
    def elsewhere_sites(self) -> tuple[str, ...]:
        """Maps on which photos of elsewhere are tried: one of each kind."""
        return (self.sizes.world_names[0], SHEFFIELD, AUTZEN)

    def progress(self, stage: str, done: int, total: int) -> None:
        """Tells of the last step of a stage."""
        if done == total:
            print(f"  {stage}: {total}", flush=True)

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        """A JSON value that is made once."""
        path = self.out / KEPT / f"{name}.json"
        if not path.exists():
            start = perf_counter()
            value = make()
            record = {"seconds": round(perf_counter() - start, 1), "value": value}
            print(f"{name}: {record['seconds']} s", flush=True)
            write_atomically(path, json.dumps(record).encode())
        record = json.loads(path.read_text())
        self.seconds[name] = record["seconds"]
        return record["value"]

    def site(self, name: str) -> Site:
        """A map with its photos by name; made when first needed."""
        site = site_at(name, self.data, self.out / "sites")
        self.kept(f"site-{name}", lambda: make_site(site, self.data, self.sizes))
        return site

    def looks(self, contestant: Contestant, site: Site, group: str = OWN) -> list[Look]:
        """What a contestant makes of a map's own photos, of corrupted ones or of strangers.

        Args:
            contestant: what is judged.
            site: the map.
            group: `OWN`, `ELSEWHERE`, or the name of a corruption.
        """
        name = f"{site.name}-{group}-{contestant.calibrated_key}"
        found = self.kept(name, lambda: self._look(contestant, site, group))
        return [Look(**record) for record in found]

    def _look(self, contestant: Contestant, site: Site, group: str) -> list[dict[str, Any]]:
        judge = self._judge(contestant, site)
        chosen = self._photos(site, group)
        return [asdict(judge.look(photo, truth, kind)) for kind, photo, truth in chosen]

    def _judge(self, contestant: Contestant, site: Site) -> EncoderJudge | SiftJudge:
        if contestant.encoder is not None:
            return EncoderJudge(site, contestant.encoder)
        return SiftJudge(site, load_encoder().spec)

    def _photos(self, site: Site, group: str) -> list[tuple[str, Photo, Truth | None]]:
        """Photos with their kind and truth."""
        if group == ELSEWHERE:
            return [(kind, photo, None) for kind, photo in self._elsewhere(site)]
        own = photos_of(site.folder, site.images)
        if group == OWN:
            return [(OWN, photo, truth) for photo, truth in own]
        return [
            (group, replace(photo, image=corrupt(photo.image, group, SEVERITY, number)), truth)
            for number, (photo, truth) in enumerate(own[:: self.sizes.corrupted])
        ]

    def _elsewhere(self, site: Site) -> list[tuple[str, Photo]]:
        """Photos of the other maps, and a share of the pictures of other places and of none."""
        number = self.elsewhere_sites.index(site.name)
        others = [self.site(name) for name in self.elsewhere_sites if name != site.name]
        away = [
            (other.name, photo)
            for other in others
            for photo, _ in photos_of(other.folder, other.images)[number::6]
        ]
        return away + self._strangers[number :: len(self.elsewhere_sites)]

    @cached_property
    def _strangers(self) -> list[tuple[str, Photo]]:
        return strangers(self.data, "held-out", np.random.default_rng(SEED))
