"""The old path of the switches, kept for one release."""
