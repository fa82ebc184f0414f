"""Settings shared by all tests: one hypothesis profile, the same examples on every machine, one thread."""

import torch
from hypothesis import settings

settings.register_profile("ci", deadline=None, derandomize=True, max_examples=25, database=None)
settings.load_profile("ci")

# Tensors here are tiny: on a busy machine several threads wait for each other longer than they compute.
torch.set_num_threads(1)
