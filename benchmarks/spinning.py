"""What one library's idle threads cost the next one, with OpenMP's threads waiting or sleeping.

    python benchmarks/spinning.py

times the encoder in ONNX Runtime, right after itself and right after a network in PyTorch, which
uses OpenMP; and PyTorch itself, which could lose by having to wake its threads. Once with OpenMP's
default and once with OMP_WAIT_POLICY=PASSIVE, each in a process of its own and in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

POLICIES = ("", "PASSIVE")
ROUNDS = 30
PROCESSES = 2
"""Of each policy, in turn."""


def measure(threads: int) -> dict[str, float]:
    """Median milliseconds of every pair, in this process."""
    import torch

    from mobilegeo.encoder import load_encoder
    from mobilegeo.learn.bench.contenders import eager_call
    from mobilegeo.learn.bench.family import FAMILY, build_embedder, noise

    torch.set_num_threads(threads)
    encoder = load_encoder(threads=threads)
    images = noise(1, encoder.spec.size_px)
    calls: dict[str, Callable[[], object]] = {
        "onnx": lambda: encoder.embed(images),
        "torch": eager_call(build_embedder(FAMILY["nano"]), FAMILY["nano"].size_px, 1),
    }
    times: dict[str, list[float]] = {}
    for turn in range(ROUNDS + 2):
        for before, first in calls.items():
            for name, call in calls.items():
                first()
                start = time.perf_counter()
                call()
                if turn >= 2:
                    pair = times.setdefault(f"{name} after {before}", [])
                    pair.append(1000 * (time.perf_counter() - start))
    return {pair: median(values) for pair, values in times.items()}


def main() -> None:
    """Runs the processes and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.threads)))
        return
    results: dict[str, list[dict[str, float]]] = {policy: [] for policy in POLICIES}
    for _ in range(PROCESSES):
        for policy in POLICIES:
            environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
            environment |= {"OMP_WAIT_POLICY": policy} if policy else {}
            command = [sys.executable, __file__, "--child", "--threads", str(options.threads)]
            done = subprocess.run(
                command, env=environment, check=True, stdout=subprocess.PIPE, text=True
            )
            results[policy].append(json.loads(done.stdout))
    print("| ms, median | default | PASSIVE |\n|---|---|---|")
    for pair in results[""][0]:
        default, passive = (median(each[pair] for each in results[policy]) for policy in POLICIES)
        print(f"| {pair} | {default:.2f} | {passive:.2f} |")


if __name__ == "__main__":
    main()
