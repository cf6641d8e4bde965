"""Networks are opened by name or file, and give what they give outside of the evaluation."""

from __future__ import annotations

import hashlib
import importlib.util

import numpy as np
import pytest
import torch

from mobilegeo.encoder.registry import load_encoder
from mobilegeo.errors import EncoderError, MissingExtraError, ResourceError
from mobilegeo.learn.evaluation.networks import EncoderNetwork, open_network
from mobilegeo.learn.models.saved import save_network
from mobilegeo.learn.models.student import Student, StudentConfig
from mobilegeo.learn.models.timm_model import BackboneConfig

SIZE_PX = 64


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(0)
    backbone = BackboneConfig("convnext_atto", pretrained=False, size_px=SIZE_PX)
    config = StudentConfig(backbone, embedding_dim=16)
    return Student(config, places=3).eval(), config


@pytest.fixture(scope="module")
def checkpoint(student, tmp_path_factory):
    network, config = student
    path = tmp_path_factory.mktemp("student") / "tiny.safetensors"
    save_network(
        path, network, kind="student", config=config, places=["a", "b", "c"], model_id="tiny"
    )
    return path


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (3, SIZE_PX, SIZE_PX, 3), dtype=np.uint8)


def test_a_checkpoint_embeds_as_its_network(student, checkpoint, images) -> None:
    network = open_network(str(checkpoint))
    facts = student[0].preprocessing
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255.0
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (facts.mean, facts.std))
    with torch.inference_mode():
        expected = student[0].embed((pixels - mean) / std).numpy()
    np.testing.assert_allclose(network.embed(images), expected, atol=1e-5)
    assert (network.id, network.size_px) == ("tiny", SIZE_PX)
    assert network.sha256 == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert "PyTorch" in network.device


def test_the_input_size_can_be_another(checkpoint) -> None:
    network = open_network(str(checkpoint), 96)
    assert network.size_px == 96
    assert network.embed(np.zeros((2, 96, 96, 3), np.uint8)).shape == (2, 16)
    with pytest.raises(EncoderError, match=r"tiny: cannot embed 1 images of 1 px .* leave --size"):
        open_network(str(checkpoint), 1).embed(np.zeros((1, 1, 1, 3), np.uint8))


def test_a_shipped_encoder_embeds_as_on_the_device() -> None:
    network, encoder = open_network("first"), load_encoder("first")
    side = encoder.spec.size_px
    image = np.random.default_rng(1).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    np.testing.assert_array_equal(network.embed(image), encoder.embed(image))
    assert (network.sha256, network.size_px) == (encoder.sha256, side)
    larger = open_network("first", side + 32)
    assert larger.embed(np.zeros((1, side + 32, side + 32, 3), np.uint8)).shape[0] == 1


def test_a_model_exported_for_one_size_refuses_others(monkeypatch) -> None:
    encoder = load_encoder("first")

    def refuse(images):
        raise RuntimeError("INVALID_ARGUMENT: Got invalid dimensions for input")

    monkeypatch.setattr(encoder, "embed", refuse)
    with pytest.raises(EncoderError, match=r"first: cannot embed images of 96 px .* leave --size"):
        EncoderNetwork(encoder, 96).embed(np.zeros((1, 96, 96, 3), np.uint8))


def test_what_is_no_network_is_refused(tmp_path, monkeypatch) -> None:
    with pytest.raises(EncoderError, match=r"is neither a shipped encoder nor an \.onnx"):
        open_network("second")
    (tmp_path / "empty.safetensors").touch()
    with pytest.raises(ResourceError, match=r"empty\.safetensors: is not a readable checkpoint"):
        open_network(str(tmp_path / "empty.safetensors"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"a checkpoint, and torch and timm is not inst"):
        open_network("student.safetensors")
