"""The commands of `lms-pipeline`: their arguments and what they print. Their work is done elsewhere."""
