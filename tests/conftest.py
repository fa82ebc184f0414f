"""Settings shared by all tests: one hypothesis profile, the same examples on every machine."""

from hypothesis import settings

settings.register_profile("ci", deadline=None, derandomize=True, max_examples=25, database=None)
settings.load_profile("ci")
