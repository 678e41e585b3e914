"""The old path of the recorded world, kept for one release."""
