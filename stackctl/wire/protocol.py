"""The number of what CLI, daemon and supervisor say to each other: raised when one would misunderstand another."""

PROTOCOL = 3  # nothing is imported here: the quick ways of the command line read it
HEADER = "Stackctl-Protocol"
