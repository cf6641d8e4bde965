r"""What a second look by local features is worth: `locate --verify`.

On each map: its own photos, as they are and spoilt, and photos of elsewhere with a plausible pose
(see `outside.py`). Tells how many right and wrong places local features confirm, how far the place
that they find and the aligned one are from the truth, and what it costs. Maps are folders made by
`real_drone.py` or `oblique_scene.py`, and generated worlds, whose photos are of another season than
the map. The packs need no imagery: it is read from `map.tif` as `map build --imagery` would keep
it, by the same functions.

    python benchmarks/verification.py ../shared/data --out runs/verification \
        --folder runs/sheffield:../shared/data/drone/sheffield_cross/images --folder runs/autzen
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from mobilegeo.evaluation import Truth
from mobilegeo.locate import confidence
from mobilegeo.locate.calibration import calibration_for
from mobilegeo.locate.localizer import Localizer
from mobilegeo.maps import open_map
from mobilegeo.maps.cells import CHUNK_CELLS, FeatureBlock
from mobilegeo.maps.imagery import JPEG_QUALITY, Imagery, ImageryFacts, jpeg
from mobilegeo.maps.pack import MapPack
from mobilegeo.maps.patch import Patch
from mobilegeo.photo import Photo
from outside import RIGHT_M, Case, folder_case, spoil, strangers, world_case


@dataclass
class Look:
    """One photo on one map, and what local features said.

    Attributes:
        case, photo, group: the map, the photo and its kind: own, spoilt or elsewhere.
        milliseconds: that the verification took.
        error_m, features_error_m: of the aligned place, and of that of the local features; `None`
            for a photo of elsewhere, or without inliers.
        inliers, offset_m, confirmed, contradicted: see `Verification`.
        fix_before, fix_after: whether it gets a fix without and with verification.
    """

    case: str
    photo: str
    group: str
    milliseconds: float
    error_m: float | None = None
    features_error_m: float | None = None
    inliers: int = 0
    offset_m: float = 0.0
    confirmed: bool = False
    contradicted: bool = False
    fix_before: bool = False
    fix_after: bool = False

    @property
    def right(self) -> bool:
        """Whether the aligned place is the right one."""
        return self.error_m is not None and self.error_m <= RIGHT_M


def kept_imagery(pack: MapPack, raster: Path) -> Imagery:
    """The imagery that a build of this pack would have kept."""
    source, spec = open_map([raster]), pack.spec
    files: dict[tuple[int, int], bytes] = {}
    known: dict[tuple[int, int], np.ndarray] = {}
    for row, column in sorted(pack.feature_chunks):
        block = FeatureBlock(spec, column * CHUNK_CELLS, row * CHUNK_CELLS)
        patch = block.read(source, pack.frame)
        files[row, column] = jpeg(block.inner(patch).image, JPEG_QUALITY)
        known[row, column] = block.valid_cells(patch)

    def load(row: int, column: int) -> Patch:
        data = np.frombuffer(files[row, column], np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
        stride = spec.feature_stride_px
        return Patch(image, known[row, column].repeat(stride, axis=0).repeat(stride, axis=1))

    size = sum(len(data) for data in files.values())
    facts = ImageryFacts(spec.feature_gsd_m, JPEG_QUALITY, size)
    return Imagery(facts, spec, pack.feature_chunks, load)


def verifying(case: Case, raster: Path) -> Case:
    """The case with a localizer that verifies; prints how much room the imagery takes."""
    pack = case.localizer.pack
    pack.imagery = kept_imagery(pack, raster)
    size, area_km2 = pack.imagery.facts.bytes, pack.record["area_km2"]
    print(f"{case.name}: {size / 1e6 / area_km2:.2f} MB/km² of {area_km2:.2f} km²", flush=True)
    options = replace(case.localizer.options, verify=True)
    return replace(case, localizer=Localizer(pack, case.localizer.encoder, options))


def look(case: Case, photo: Photo, truth: Truth | None, group: str) -> Look:
    """Locates one photo, and notes what verification says and changes."""
    trace = case.localizer.trace(photo)
    found, second = trace.alignment, trace.verification
    result = Look(case.name, Path(photo.source).name, group, trace.fix.timing_ms["verify"])
    if found is None or second is None:
        return result
    if truth is not None:
        x, y = case.localizer.pack.frame.xy(truth.position)
        east, north = x - found.best.x_m, y - found.best.y_m
        result.error_m = math.hypot(east, north)
        if second.inliers:
            result.features_error_m = math.hypot(east - second.east_m, north - second.north_m)
    result.inliers, result.offset_m = second.inliers, second.offset_m
    result.confirmed, result.contradicted = second.confirms, second.contradicts
    constants = calibration_for(case.localizer.encoder).aligned
    result.fix_before = confidence.probability(found, constants) >= constants.accept
    result.fix_after = trace.fix.status == "fix"
    return result


def looks(cases: list[Case], data: Path, elsewhere: int, kept: Path, seed: int) -> list[Look]:
    """Own photos as they are and spoilt, and photos of elsewhere, on every map."""
    rng = np.random.default_rng(seed)
    others = strangers(data, "held-out", rng) + strangers(data, "calibrate", rng)
    found: list[Look] = []
    for number, case in enumerate(cases):
        for photo, truth in case.photos:
            found.append(look(case, photo, truth, "own"))
            found.append(look(case, spoil(photo, rng), truth, "spoilt"))
        away = [p for o in cases if o is not case for p, _ in o.photos[number % 4 :: 4]]
        away += [photo for _, photo in others[number :: len(cases)]]
        away = away[:: max(1, len(away) // elsewhere)][:elsewhere]
        found += [look(case, photo, None, "elsewhere") for photo in away]
        kept.write_text(json.dumps([asdict(item) for item in found]))
        print(f"{case.name}: {len(found)} looks", flush=True)
    return found


def report(found: list[Look]) -> None:
    """Prints the tables."""
    print("| map | photos | right places | confirmed | another place | aligned error | "
          "local features | fixes before | after | ms |\n" + "|---" * 10 + "|")  # fmt: skip
    for name in sorted({item.case for item in found}):
        for group in ("own", "spoilt"):
            rows = [item for item in found if item.case == name and item.group == group]
            right = [item for item in rows if item.right]
            sure = [item for item in right if item.confirmed]
            errors = [(item.error_m, item.features_error_m) for item in sure]
            aligned, features = np.median(errors, axis=0) if errors else (math.nan, math.nan)
            print(
                f"| {name}, {group} | {len(rows)} | {len(right)} | {len(sure)} |"
                f" {sum(item.contradicted for item in right)} |"
                f" {aligned:.2f} m | {features:.2f} m | {sum(item.fix_before for item in rows)} |"
                f" {sum(item.fix_after for item in rows)} |"
                f" {np.median([item.milliseconds for item in rows]):.0f} |"
            )
    wrong = [item for item in found if not item.right]
    print(
        f"\nwrong places: {len(wrong)}, of these photos of elsewhere"
        f" {sum(item.group == 'elsewhere' for item in wrong)}; confirmed"
        f" {sum(item.confirmed for item in wrong)}, another place"
        f" {sum(item.contradicted for item in wrong)}; fixes before"
        f" {sum(item.fix_before for item in wrong)}, after"
        f" {sum(item.fix_after for item in wrong)}"
    )


def main() -> None:
    """Locates with verification, keeps the looks in OUT/looks.json and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--folder", action="append", default=[], metavar="FOLDER[:PHOTOS]")
    parser.add_argument("--seeds", type=int, nargs="*", default=[2003, 2004, 2005])
    parser.add_argument("--photos", type=int, default=24, help="of each map")
    parser.add_argument("--elsewhere", type=int, default=30, help="photos, on each map")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    cases = []
    for entry in options.folder:
        folder, _, images = entry.partition(":")
        case = folder_case(Path(folder), Path(images or folder), options.photos)
        cases.append(verifying(case, Path(folder) / "map.tif"))
    for seed in options.seeds:
        folder = options.out / f"world{seed}"
        cases.append(verifying(world_case(folder, seed, options.photos), folder / "map.tif"))
    kept = options.out / "looks.json"
    report(looks(cases, options.data, options.elsewhere, kept, options.seed))


if __name__ == "__main__":
    main()
