"""The synthetic world of the sandbox: companies whose people learn, the same for the same seed and instant."""
