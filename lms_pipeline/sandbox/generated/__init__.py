"""The old path of the synthetic world, kept for one release."""
