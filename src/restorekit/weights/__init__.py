"""The small trained weights that come with the library, each with a model card."""

from restorekit.weights.shipped import Shipped, list_shipped, shipped

__all__ = ["Shipped", "list_shipped", "shipped"]
