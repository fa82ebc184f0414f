"""How the checkpoints of other projects are recognised and renamed: one file per network."""
