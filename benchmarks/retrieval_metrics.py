"""Time and memory of University-1652's metrics at full size, on random places.

Every image of a place is the place's random direction plus noise; the numbers of images are the
benchmark's. `s2d` ranks 51,355 drone images for each of 701 tiles, `d2s` 951 tiles for each of
37,855 drone images. Peak memory is the process's, embeddings included.

    python benchmarks/retrieval_metrics.py --direction s2d --threads 2
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import time

SHOWN_PLACES, PLACES = 701, 951
DRONE_GALLERY, DRONE_QUERIES = 51_355, 37_855
NOISE = 2.0


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--direction", choices=["s2d", "d2s"], default="s2d")
    parser.add_argument("--dimensions", type=int, default=768)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for library in ("OMP", "OPENBLAS", "MKL"):  # read when numpy is loaded
        os.environ[f"{library}_NUM_THREADS"] = str(options.threads)
    import numpy as np

    from mobilegeo.learn.evaluation.protocols import PROTOCOLS, EmbeddedSet, evaluate

    rng = np.random.default_rng(options.seed)
    places = rng.standard_normal((PLACES, options.dimensions), dtype=np.float32)

    def embed(labels: np.ndarray) -> EmbeddedSet:
        images = places[labels]
        for start in range(0, len(images), 4096):
            block = images[start : start + 4096]
            block += NOISE * rng.standard_normal(block.shape, dtype=np.float32)
            block /= np.linalg.norm(block, axis=1, keepdims=True)
        return EmbeddedSet(images, labels)

    if options.direction == "s2d":
        query = embed(np.arange(SHOWN_PLACES))
        gallery = embed(np.arange(DRONE_GALLERY) % PLACES)
    else:
        query = embed(np.arange(DRONE_QUERIES) % SHOWN_PLACES)
        gallery = embed(np.arange(PLACES))
    before_mb = peak_mb()
    seconds = []
    for _ in range(options.repeats):
        start = time.perf_counter()
        result = evaluate(PROTOCOLS[f"university1652-{options.direction}"], query, gallery)
        seconds.append(time.perf_counter() - start)
    print(
        json.dumps(
            {
                "direction": options.direction,
                "queries": result.queries,
                "gallery": result.gallery,
                "dimensions": options.dimensions,
                "threads": options.threads,
                "median_s": round(statistics.median(seconds), 2),
                "slowest_s": round(max(seconds), 2),
                "peak_mb_before": round(before_mb),
                "peak_mb": round(peak_mb()),
                "metrics": {name: round(value, 4) for name, value in result.metrics.items()},
            }
        )
    )


def peak_mb() -> float:
    """Largest resident memory so far, megabytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1024.0


if __name__ == "__main__":
    main()
