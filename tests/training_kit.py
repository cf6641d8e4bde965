"""Tiny places that can be told apart, a tiny network, and runs on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIDE_PX = 32
CONFIG = """
task = "self_distillation"
model_id = "tiny"
out = "run"
seed = 5

[student]
embedding_dim = 16
dropout = 0.3

[student.backbone]
name = "test_convnext"
pretrained = false
size_px = 32

[data]
dataset = "folder"
root = "data"
validation_share = 0.25
workers = 1

[sampling]
places_per_batch = 2
drone_views = 2

[schedule]
epochs = 2
warmup_epochs = 0.5

[precision]
mode = "off"

[logging]
tensorboard = false
"""
TEACHER = """
task = "teacher"
model_id = "tiny-teacher"
out = "teacher"

[teacher]
embedding_dim = 24
trainable_blocks = 2

[teacher.backbone]
name = "test_vit"
pretrained = false
size_px = 32
"""


def write_places(root: Path, places: int = 8, drone_views: int = 3) -> Path:
    """A `folder` dataset: each place has its own pattern, each view its own noise."""
    rng = np.random.default_rng(0)
    for number in range(places):
        pattern = rng.integers(0, 256, (4, 4, 3))
        for kind, views in (("drone", drone_views), ("satellite", 1)):
            for view in range(views):
                coarse = np.clip(pattern + rng.integers(-20, 21, pattern.shape), 0, 255)
                image = Image.fromarray(coarse.astype(np.uint8)).resize((SIDE_PX, SIDE_PX))
                path = root / f"train/{kind}/{number:04d}/{view}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                image.save(path)
    for kind in ("drone", "satellite"):
        for number in range(2):
            path = root / f"test/{kind}/t{number}/0.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (SIDE_PX, SIDE_PX), (number, 9, 9)).save(path)
    return root


def write_config(folder: Path, text: str = CONFIG, name: str = "tiny.toml") -> Path:
    """Writes the places, unless they are there, and a configuration beside them."""
    if not (folder / "data").exists():
        write_places(folder / "data")
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path
