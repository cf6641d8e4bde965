"""Locating a photo on a map: normalise, retrieve, align, say how sure."""
