"""From a trained network to an encoder file: float32, half or int8, each proven before it stays."""
