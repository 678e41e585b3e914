"""Everything that can go wrong between a client and the API, to be scripted by account and route, count or rate."""
