"""Evaluation of encoders: recall on held-out pairs and metres on a held-out scene."""
