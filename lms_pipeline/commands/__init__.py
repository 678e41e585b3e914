"""What each command of `lms-pipeline` does and prints. What it does it with lives elsewhere."""
