"""Training of ZSSR on the one picture that it enlarges, in parts."""
