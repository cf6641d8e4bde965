"""Imagery for training, and the views simulated from it."""
