"""A shipped encoder's place head, fine-tuned on simulated views of the user's own map."""
