"""A local Truto server for demos and tests. Only the command line and the tests import it."""
