"""Files on the local disk that cost nothing to lose: damaged ones are set aside, and locks are made again."""
