"""From stores to trained systems: batches, the one loop, checkpoints, run folders."""
