"""How well the network finds held-out places, and which training places look alike to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobilegeo.learn.evaluation.embedded_set import EmbeddedSet
from mobilegeo.learn.evaluation.protocols import evaluate, find_protocol
from mobilegeo.learn.export.student import FEATURE_STAGE
from mobilegeo.learn.models.saved import ChannelStatistics, Network
from mobilegeo.learn.models.student import Student
from mobilegeo.learn.training.data.neighbours import nearest_places
from mobilegeo.learn.training.data.training import TrainingData
from mobilegeo.learn.training.data.validation import ValidationData
from mobilegeo.learn.training.preparation import prepare

PROTOCOL = "university1652-d2s"
"""Drone views ask, all satellite views of the held-out places are searched."""
TOLD = ("R@1", "R@5", "AP")
LEAST_VARIANCE = 1e-12
"""Of a channel's standard deviation squared, so that a dead channel can be divided by it."""
Autocast = Callable[[], AbstractContextManager[None]]


def validate(
    network: Network, data: ValidationData, device: torch.device, autocast: Autocast
) -> dict[str, float]:
    """R@1, R@5 and AP of held-out drone views among the held-out satellite views, 0 … 1."""
    query, gallery = (
        EmbeddedSet(_embed(network, images.chunks(), device, autocast), images.labels)
        for images in (data.query, data.gallery)
    )
    metrics = evaluate(find_protocol(PROTOCOL), query, gallery).metrics
    return {name: metrics[name] for name in TOLD}


def places_alike(
    network: Network,
    data: TrainingData,
    count: int,
    device: torch.device,
    autocast: Autocast,
) -> NDArray[np.int32]:
    """The places whose satellite views are nearest to each place's, int32 [places, count].

    A place whose satellite view cannot be read is embedded as zero.
    """
    found = np.zeros((data.places, network.embedder.head.linear.out_features), np.float32)
    for indices, images in data.reference_views():
        found[indices] = _embed(network, [images], device, autocast)
    return nearest_places(found, count)


@torch.no_grad()
def feature_statistics(
    network: Student, data: TrainingData, device: torch.device
) -> ChannelStatistics:
    """Mean and spread of the channels of stride 16 over the training places' satellite views."""
    total = squared = torch.zeros(())
    cells = 0
    network.eval()
    for _, images in data.reference_views():
        stage = network.embedder.trunk(prepare(images.to(device), network.preprocessing))
        features = stage[FEATURE_STAGE].double().cpu()
        total = total + features.sum(dim=(0, 2, 3))
        squared = squared + features.square().sum(dim=(0, 2, 3))
        cells += features.shape[0] * features.shape[2] * features.shape[3]
    mean = total / cells
    variance = (squared / cells - mean.square()).clamp(min=LEAST_VARIANCE)
    return ChannelStatistics(mean.float(), variance.sqrt().float())


@torch.no_grad()
def _embed(
    network: Network, chunks: Iterable[Tensor], device: torch.device, autocast: Autocast
) -> NDArray[np.float32]:
    """Embeddings float32 [N, D] of uint8 [n, 3, S, S] at a time, in evaluation mode."""
    network.eval()
    embeddings = []
    for images in chunks:
        pixels = prepare(images.to(device), network.preprocessing)
        with autocast():
            embeddings.append(network.embedder(pixels).float().cpu())
    return np.asarray(torch.cat(embeddings).numpy())
