"""From the encoder's features of all blocks to the descriptors that a pack keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilegeo.maps.cells import CHUNK_CELLS, FEATURE_STEP, FeatureBlock, chunk_name
from mobilegeo.maps.descriptors import DescriptorBasis, stored, unit_cells
from mobilegeo.maps.workspace import Workspace

Float64 = NDArray[np.float64]

SAMPLE_CHUNKS = 64
"""Chunks, evenly spread, from which the principal directions are taken."""


def describe(blocks: Sequence[FeatureBlock], dim: int, work: Workspace) -> dict[str, Any] | None:
    """Writes features/….npy wherever a block has data.

    Args:
        blocks: of the build, all finished.
        dim: C, channels of the encoder's features.
        work: where the blocks lie.

    Returns:
        The record of the descriptors; `None` when no block has data.
    """
    filled = [block for block in blocks if (work.path / block.raw_name).exists()]
    if not filled:
        return None
    mean, std, cells = _statistics(filled, dim, work)
    basis = DescriptorBasis.fitted(mean, std, _moment(filled, mean, std, work))
    for block in filled:
        features, valid = _raw(block, work)
        work.write_array(chunk_name(*block.chunk), stored(basis.unit(features, valid), valid))
    chunks = [block.chunk for block in filled]
    rows, columns = zip(*chunks, strict=True)
    return {
        "cells": cells,
        "chunks": chunks,
        "extent": {
            "x0": min(columns) * CHUNK_CELLS,
            "y0": min(rows) * CHUNK_CELLS,
            "width": (max(columns) + 1 - min(columns)) * CHUNK_CELLS,
            "height": (max(rows) + 1 - min(rows)) * CHUNK_CELLS,
        },
        "basis": basis.to_record(),
    }


def _statistics(
    blocks: Sequence[FeatureBlock], dim: int, work: Workspace
) -> tuple[Float64, Float64, int]:
    """Mean and deviation of every channel over all cells with data, float64 [C], and their number.

    A deviation is at least one step of the quantisation, so that it can be divided by.
    """
    total, squares, cells = np.zeros(dim, np.int64), np.zeros(dim, np.int64), 0
    for block in blocks:
        chunk = np.load(work.path / block.raw_name)
        values = chunk[chunk.any(axis=2)].astype(np.int64)
        total, squares = total + values.sum(axis=0), squares + (values**2).sum(axis=0)
        cells += len(values)
    mean = total / cells
    std = np.sqrt(np.maximum(squares / cells - mean**2, 0.0))
    return mean * FEATURE_STEP, np.maximum(std, 1.0) * FEATURE_STEP, cells


def _moment(
    blocks: Sequence[FeatureBlock], mean: Float64, std: Float64, work: Workspace
) -> Float64:
    """Mean outer product of standardised features of unit length, float64 [C, C]."""
    moment, cells = np.zeros((len(mean), len(mean))), 0
    for block in blocks[:: max(1, len(blocks) // SAMPLE_CHUNKS)]:
        features, valid = _raw(block, work)
        standard = ((features - mean) / std).astype(np.float32)
        unit = unit_cells(standard, valid)[valid]
        moment += unit.T @ unit
        cells += len(unit)
    return moment / cells


def _raw(block: FeatureBlock, work: Workspace) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A block's features in the encoder's units, and where it has data."""
    chunk = np.load(work.path / block.raw_name)
    return chunk * np.float32(FEATURE_STEP), chunk.any(axis=2)
