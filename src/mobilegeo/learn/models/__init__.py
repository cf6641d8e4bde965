"""Networks: the backbone cut in two, the pooling, the heads and the encoder they make up."""
