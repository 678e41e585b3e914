"""A world that is made up: companies whose people learn, the same for the same seed, further on at a later clock."""
