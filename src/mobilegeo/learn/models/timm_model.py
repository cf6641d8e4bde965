"""Any timm model: made, filled with weights, and asked for the images it wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mobilegeo.errors import ResourceError, UsageError
from mobilegeo.learn.models.padding import fix_same_padding


@dataclass(frozen=True, slots=True)
class BackboneConfig:
    """Which timm model, and where its weights come from.

    Attributes:
        name: timm's name, such as `convnext_tiny` or `vit_base_patch14_dinov2`; a tag after a
            dot chooses among timm's weights.
        pretrained: fetch the weights that timm names from its hub; `False` starts at random.
        weights: safetensors file with timm's tensor names, used instead of the hub.
        size_px: side of the square input; `None` takes the size the weights were trained at.
        options: further arguments of `timm.create_model`, such as `pad_type`, or
            `pretrained_cfg_overlay` with the `mean` and `std` of weights from elsewhere.
    """

    name: str
    pretrained: bool = True
    weights: Path | None = None
    size_px: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.size_px is not None and self.size_px < 1:
            raise UsageError("size_px", f"is {self.size_px}", "give a positive number of pixels")


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """The images a network was made for: input = (RGB / 255 − mean) / std.

    Attributes:
        size_px: side of the square input.
        mean, std: per channel, of RGB in 0 … 1.
    """

    size_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def preprocessing_of(model: nn.Module, config: BackboneConfig) -> Preprocessing:
    """What timm knows of the weights, with the size that `config` asks for."""
    facts: Mapping[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    size_px = config.size_px or int(facts["input_size"][-1])
    return Preprocessing(size_px, tuple(facts["mean"]), tuple(facts["std"]))


def create_model(config: BackboneConfig, **arguments: Any) -> nn.Module:
    """Makes the model with its weights.

    TensorFlow's size-dependent SAME padding, where a model has it, becomes plain zero padding.

    Args:
        config: which model and weights.
        arguments: for `timm.create_model`, what kind of output is wanted.

    Raises:
        UsageError: timm has no such model, or not in this form.
        ResourceError: the weights are missing, damaged, of another model, or out of reach.
    """
    options = dict(config.options)
    if config.weights is not None:
        overlay = dict(options.get("pretrained_cfg_overlay", {}))
        tensors = _read_weights(config.weights, config)
        options["pretrained_cfg_overlay"] = overlay | {"state_dict": tensors}
    pretrained = config.pretrained or config.weights is not None
    model = _create(config.name, pretrained, options | arguments)
    fix_same_padding(model)
    return model


def _create(name: str, pretrained: bool, options: Mapping[str, Any]) -> nn.Module:
    try:
        model: nn.Module = timm.create_model(name, pretrained=pretrained, **options)
    except OSError as error:
        raise ResourceError(
            name,
            f"its weights cannot be fetched ({str(error).splitlines()[0]})",
            "go online once, or give a safetensors file as `weights`",
        ) from error
    except (RuntimeError, TypeError, ValueError) as error:
        raise UsageError(
            name,
            f"timm cannot make this model ({str(error).splitlines()[0]})",
            "choose a name from timm.list_models() and options that the model has",
        ) from error
    return model


def _read_weights(path: Path, config: BackboneConfig) -> dict[str, Tensor]:
    """Tensors of a file, after a check that they fill the whole network up to its classifier.

    timm itself loads the weights of some stage-feature models leniently, and would leave at
    random what the file lacks.
    """
    if not path.is_file():
        raise ResourceError(path, "no such weights file", "give its path as `weights`")
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise ResourceError(
            path, f"is not a safetensors file ({error})", "fetch or convert it again"
        ) from error
    wanted = _create(config.name, False, dict(config.options) | {"num_classes": 0}).state_dict()
    unfit = [
        name
        for name, value in wanted.items()
        if not name.endswith("num_batches_tracked")
        and (name not in tensors or tensors[name].shape != value.shape)
    ]
    if unfit:
        raise ResourceError(
            path,
            f"does not hold the weights of {config.name}: {len(unfit)} of {len(wanted)} tensors "
            f"are absent or of another shape, the first is {unfit[0]}",
            "save the state_dict of timm's model of that name",
        )
    return tensors
