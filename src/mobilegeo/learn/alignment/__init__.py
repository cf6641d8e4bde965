"""An alignment head on a frozen encoder: simulate, run the encoder once, train the head."""

from mobilegeo.learn.alignment.loop import run

__all__ = ["run"]
