"""A simulated flight as a drone brings it home: `flight.mp4` with `flight.SRT`, and `map.tif`.

For the tutorial, and for whoever has no flight at hand. `truth.csv` holds the drone's true position
for every frame, under the names that `mobilegeo track` gives them.

    python benchmarks/flight_film.py runs/tutorial
"""

from __future__ import annotations

import argparse
import csv
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image

from mobilegeo.photo import read_photo
from mobilegeo.world.flight import Biases, FlightPlan
from mobilegeo.world.flight_files import FlightFiles, write_flight

RATE_HZ = 5
FOCAL_MM = 24.6
"""35 mm equivalent of the simulated lens, 70° across a 4:3 picture."""

PHOTO_PX = (480, 360)
PLAN = FlightPlan(
    length_m=450.0,
    agl_m=110.0,
    pitch_deg=-75.0,
    rate_hz=RATE_HZ,
    blackouts_s=((20.0, 26.0),),
    biases=Biases(heading_deg=3.0, pitch_deg=1.5, height=1.08),
)


def write_film(files: FlightFiles, out: Path) -> None:
    """The photos one after the other, at the rate at which they were taken."""
    with av.open(str(out / "flight.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=RATE_HZ, options={"crf": "20"})
        (stream.width, stream.height), stream.pix_fmt = PHOTO_PX, "yuv420p"
        for number, path in enumerate(files.photos):
            with Image.open(path) as image:
                frame = av.VideoFrame.from_image(image)
            frame.pts, frame.time_base = number, Fraction(1, RATE_HZ)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_subtitles(files: FlightFiles, out: Path) -> None:
    """Telemetry as recent DJI drones write it, a block a frame."""
    blocks = []
    for number, path in enumerate(files.photos):
        photo = read_photo(path)
        told, start = photo.telemetry, timedelta(seconds=number / RATE_HZ)
        end = timedelta(seconds=(number + 1) / RATE_HZ)
        blocks.append(
            f"{number + 1}\n{_stamp(start)} --> {_stamp(end)}\n"
            f'<font size="28">FrameCnt: {number + 1}, DiffTime: {1000 // RATE_HZ}ms\n'
            f"{photo.time + start % timedelta(seconds=1):%Y-%m-%d %H:%M:%S.%f}"[:-3]
            + "\n"
            f"[focal_len: {FOCAL_MM}] [latitude: {told.lat:.6f}] [longitude: {told.lon:.6f}] "
            f"[rel_alt: {told.agl_m:.3f} abs_alt: 0.000] [gb_yaw: {told.heading_deg:.1f} "
            f"gb_pitch: {told.pitch_deg:.1f} gb_roll: {told.roll_deg:.1f}]</font>\n"
        )
    (out / "flight.SRT").write_text("\n".join(blocks), encoding="utf-8")


def write_truth(files: FlightFiles, out: Path) -> None:
    """The truth under the frames' names."""
    with files.truth_csv.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    with (out / "truth.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"photo": f"flight.mp4#{n}"} for n, row in enumerate(rows))


def _stamp(time: timedelta) -> str:
    seconds, rest = divmod(round(time.total_seconds() * 1000), 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d},{rest:03d}"


def main() -> None:
    """Parses and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=8)
    options = parser.parse_args()
    files = write_flight(options.out, PLAN, options.seed, (600.0, 500.0), PHOTO_PX)
    write_film(files, options.out)
    write_subtitles(files, options.out)
    write_truth(files, options.out)
    print(f"{len(files.photos)} frames in {options.out / 'flight.mp4'}")


if __name__ == "__main__":
    main()
