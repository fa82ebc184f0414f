"""The small trained weights that come with the library, each with a model card."""

from restorekit.weights.shipped import shipped

__all__ = ["shipped"]
