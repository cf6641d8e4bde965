"""Pillow against OpenCV: what decoding JPEGs takes at each of the reduced scales.

Both decode with libjpeg-turbo. Photos, scales and decoders take turns in one run on one thread;
processor time is counted, which others disturb less than wall-clock time. Pixels are compared.

    python benchmarks/decode.py ../shared/data/drone/caliterra/full_size
"""

from __future__ import annotations

import argparse
import io
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

import numpy as np

from mobilegeo.bench.machine import cpu_name
from mobilegeo.decode import _by_opencv, _by_pillow, open_header

DECODERS = {
    "Pillow": lambda image, _, factor: np.array(_by_pillow("a photo", image, factor)),
    "OpenCV": _by_opencv,
}
"""The array is copied as `decode_rgb` copies Pillow's, which is read-only."""


def main() -> None:
    """Decodes every photo at every scale by both and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    contents = [file.read_bytes() for file in sorted(options.folder.glob("*.[jJ][pP]*[gG]"))]
    times: dict[tuple[int, str], list[float]] = defaultdict(list)
    equal = True
    for number in range(options.rounds + 1):
        for content in contents:
            for factor in (1, 2, 4, 8):
                pixels = []
                for name, decode in DECODERS.items():
                    stream = io.BytesIO(content)
                    image = open_header("a photo", stream)
                    start = time.thread_time()
                    pixels.append(decode(image, stream, factor))
                    if number:
                        times[factor, name].append(1000 * (time.thread_time() - start))
                equal = equal and np.array_equal(*pixels)
    size = open_header("a photo", io.BytesIO(contents[0])).size
    megabytes = np.mean([len(content) for content in contents]) / 1e6
    print(
        f"{cpu_name()}, one thread; {len(contents)} photos of {size[0]} × {size[1]} px, "
        f"{megabytes:.1f} MB; pixels {'equal' if equal else 'differ'}\n"
    )
    print("| scale | Pillow | OpenCV | ratio |\n|---|---|---|---|")
    for factor in (1, 2, 4, 8):
        pillow, opencv = (median(times[factor, name]) for name in DECODERS)
        print(f"| 1/{factor} | {pillow:.1f} ms | {opencv:.1f} ms | {pillow / opencv:.2f} |")


if __name__ == "__main__":
    main()
