"""Encoders: the protocol, the runtimes, and the models that ship."""

from mobilegeo.encoder.base import Encoded, Encoder, ImageSpec
from mobilegeo.encoder.registry import SHIPPED, encoder_for, load_encoder
from mobilegeo.encoder.runtimes import RUNTIMES

__all__ = [
    "RUNTIMES",
    "SHIPPED",
    "Encoded",
    "Encoder",
    "ImageSpec",
    "encoder_for",
    "load_encoder",
]
