"""Training from a configuration file: simulate, run the frozen trunk once, train the head."""

from mobilegeo.learn.training.loop import run

__all__ = ["run"]
