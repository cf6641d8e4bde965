"""Encoders: the protocol, the runtimes, and the models that ship."""

from mobilegeo.encoder.base import Encoded, Encoder, ImageSpec
from mobilegeo.encoder.registry import SHIPPED, load_encoder

__all__ = ["SHIPPED", "Encoded", "Encoder", "ImageSpec", "load_encoder"]
