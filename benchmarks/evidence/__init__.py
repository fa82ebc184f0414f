"""Short training runs that set the methods of the papers against what they are to improve on, three seeds each."""
