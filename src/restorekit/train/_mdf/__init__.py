"""Training of the discriminators that the MDF loss looks through, in parts."""
