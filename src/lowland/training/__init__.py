"""Training: how weights are learned."""
