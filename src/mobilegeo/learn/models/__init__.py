"""Networks: the frozen backbone, the head and the encoder they make up."""
