"""Pictures as tensors: reading and writing, colour, filtering, flips and rotations, resampling."""
