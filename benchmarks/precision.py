"""What float16 and int8 cost and gain: speed, size, cosines, recall, and errors of positions.

The shipped encoder in three precisions under ONNX Runtime and OpenVINO, and an untrained ConvNeXt-T
student (speed only) beside PyTorch eager. Times are of one image of 224 px on 2 threads: medians of
runs that take turns. Positions: packs built with the float32 file, photos located with each file.

    python benchmarks/real_drone.py ../shared/data/drone/sheffield_cross --out runs/sheffield
    python benchmarks/precision.py --calibrate ../shared/data/tiles/ucmerced --out runs/precision \
        --drone runs/sheffield ../shared/data/drone/sheffield_cross/images

`--parts` chooses among `first`, `tiny` and `positions`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import numpy as np
import torch
from torch import nn

from mobilegeo.encoder import load_encoder
from mobilegeo.encoder.graph import GraphEncoder, normalise_pixels
from mobilegeo.errors import EncoderError, MobileGeoError
from mobilegeo.evaluation import evaluate
from mobilegeo.learn.export.half import halve
from mobilegeo.learn.export.imagery import generated, images_of, views_of
from mobilegeo.learn.export.onnx import write_onnx
from mobilegeo.learn.export.quantize import quantise
from mobilegeo.learn.export.run import Request, export
from mobilegeo.learn.export.student import StudentEncoder
from mobilegeo.learn.models.saved import ChannelStatistics
from mobilegeo.learn.models.student import Student, StudentConfig
from mobilegeo.learn.models.timm_model import BackboneConfig
from mobilegeo.locate.localizer import Localizer
from outside import Case, folder_case, world_case

PRECISIONS = ("float32", "float16", "int8")
RUNTIMES = ("onnx", "openvino", "openvino-bf16")
THREADS = 2
PARTS = ("first", "tiny", "positions")


def medians(runs: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Median milliseconds of each, taking turns."""
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds or len(next(iter(times.values()))) < 5:
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(values)) for name, values in times.items()}


def open_all(files: dict[str, Path]) -> dict[str, GraphEncoder]:
    """Every precision under every runtime that this processor has, by `precision runtime`."""
    encoders = {}
    for precision, path in files.items():
        for runtime in RUNTIMES:
            try:
                encoders[f"{precision} {runtime}"] = load_encoder(
                    path, threads=THREADS, runtime=runtime
                )
            except EncoderError as missing:
                print(f"({missing})")
    return encoders


def print_speed(
    name: str, files: dict[str, Path], seconds: float, eager: nn.Module | None = None
) -> None:
    """Table of milliseconds and their ratios to the first row's."""
    encoders = open_all(files)
    spec = next(iter(encoders.values())).spec
    image = np.stack(images_of(views_of(generated(), spec, 0), 1))
    rows: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {}
    if eager is not None:
        torch.set_num_threads(THREADS)
        pixels = torch.from_numpy(normalise_pixels(image, spec))

        def encode() -> object:
            with torch.inference_mode():
                return eager(pixels)

        rows["float32 PyTorch eager"] = (encode, encode)
    for key, encoder in encoders.items():
        rows[key] = (
            lambda encoder=encoder: encoder.embed(image),
            lambda encoder=encoder: encoder.features(image),
        )
    embed = medians({key: run[0] for key, run in rows.items()}, seconds)
    features = medians({key: run[1] for key, run in rows.items()}, seconds)
    print(f"\n| {name} | MB | embed, ms | × | features, ms | × |\n|" + "---|" * 6)
    first = next(iter(rows))
    for key in rows:
        path = files[key.split()[0]]
        print(
            f"| {key} | {path.stat().st_size / 1e6:.2f} | {embed[key]:.1f} | "
            f"{embed[first] / embed[key]:.2f} | {features[key]:.1f} | "
            f"{features[first] / features[key]:.2f} |"
        )


def first_files(out: Path, calibrate: Path, held_out: Path | None) -> dict[str, Path]:
    """The shipped encoder in all precisions; prints what the export measured."""
    files = {"float32": load_encoder().path}
    print("\n| `first` against float32 | embedding cosine, least / median | feature cosine, least /"
          " median | recall@1, % | drop, points | queries |\n|" + "---|" * 6)  # fmt: skip
    for precision in PRECISIONS[1:]:
        path = out / f"first-{precision}.onnx"
        try:
            done = export(Request("first", path, precision, calibrate, held_out))
        except MobileGeoError as error:
            print(f"| {precision} | {error} |")
            continue
        files[precision] = path
        parity, recall = done.parity, done.recall
        print(
            f"| {precision} | {parity.embedding_min:.4f} / {parity.embedding_median:.4f} | "
            f"{parity.features_min:.4f} / {parity.features_median:.4f} | "
            f"{100 * recall.before:.2f} → {100 * recall.after:.2f} | "
            f"{100 * recall.drop:.2f} ± {100 * recall.standard_error:.2f} | {recall.queries} |"
        )
    return files


def tiny_files(out: Path) -> tuple[dict[str, Path], nn.Module]:
    """An untrained ConvNeXt-T student in all precisions, and the module for PyTorch eager."""
    torch.manual_seed(0)
    config = StudentConfig(BackboneConfig("convnext_tiny", pretrained=False))
    student = Student(config, places=2).eval()
    for name, parameter in student.named_parameters():
        if name.endswith("gamma"):
            nn.init.constant_(parameter, 0.5)  # 1e-6 when fresh, which leaves the blocks out
    channels = student.embedder.trunk.feature_info.channels()[-2]
    statistics = ChannelStatistics(torch.zeros(channels), torch.ones(channels))
    encoder = StudentEncoder(student.embedder, statistics).eval().requires_grad_(False)
    spec = replace(
        load_encoder().spec,
        model_id="tiny",
        mean=student.preprocessing.mean,
        std=student.preprocessing.std,
        embedding_dim=config.embedding_dim,
        feature_dim=channels,
    )
    files = {precision: out / f"tiny-{precision}.onnx" for precision in PRECISIONS}
    write_onnx(encoder, spec, files["float32"])
    halve(files["float32"], files["float16"])
    quantise(files["float32"], files["int8"], images_of(views_of(generated(), spec, 0), 8))
    return files, student.embedder


def print_positions(cases: list[Case], files: dict[str, Path]) -> None:
    """Errors of photos located with each file on packs of the float32 one."""
    print("\n| map of float32 | located with | photos | fixes | median | 90 % within |"
          " peak, median | confidence, median |\n|" + "---|" * 8)  # fmt: skip
    for case in cases:
        for precision, path in files.items():
            encoder = load_encoder(path, threads=THREADS)
            localizer = Localizer(case.localizer.pack, encoder, case.localizer.options)
            fixes = [localizer.locate(photo) for photo, _ in case.photos]
            named = [
                replace(fix, photo=truth.photo)
                for fix, (_, truth) in zip(fixes, case.photos, strict=True)
            ]
            found = evaluate(named, [truth for _, truth in case.photos]).to_record()
            peaks = [fix.details["peak"] for fix in fixes if "peak" in fix.details]
            print(
                f"| {case.name} | {precision} | {found['photos']} | {found['fixes']} | "
                f"{found['median_error_m']:.2f} m | {found['p90_error_m']:.2f} m | "
                f"{np.median(peaks):.3f} | {np.median([fix.confidence for fix in fixes]):.3f} |",
                flush=True,
            )


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calibrate", type=Path, required=True, help="as for `learn export`")
    parser.add_argument("--held-out", type=Path, help="as for `learn export`")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--drone", type=Path, nargs=2, help="real_drone.py's folder, the photos")
    parser.add_argument("--world-seed", type=int, default=2003)
    parser.add_argument("--photos", type=int, default=24, help="of each map")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each timing")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    if "tiny" in options.parts:
        files, eager = tiny_files(out)
        print_speed("ConvNeXt-T student", files, options.seconds, eager)
    if {"first", "positions"} & set(options.parts):
        files = first_files(out, options.calibrate, options.held_out)
    if "first" in options.parts:
        print_speed("`first`", files, options.seconds)
    if "positions" in options.parts:
        cases = [world_case(out / f"world{options.world_seed}", options.world_seed, options.photos)]
        if options.drone is not None:
            cases.append(folder_case(*options.drone, options.photos))
        print_positions(cases, files)


if __name__ == "__main__":
    main()
