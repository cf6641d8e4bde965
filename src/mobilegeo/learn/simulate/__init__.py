"""Simulated drone and satellite views of reference imagery, in University-1652's layout."""
