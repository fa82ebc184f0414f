"""How the weights that come with the library were trained, scored and written down."""
