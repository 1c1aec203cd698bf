"""Blocks that systems share: torch modules without losses or training."""
