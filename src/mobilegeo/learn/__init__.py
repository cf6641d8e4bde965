"""The learning wing: trains encoders and exports them for the device wing; needs torch."""
