"""Measures the pipeline on this machine: time by stage, throughput, memory, energy."""

from mobilegeo.bench.run import BenchResult, Plan, run_bench

__all__ = ["BenchResult", "Plan", "run_bench"]
