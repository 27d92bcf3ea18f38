"""Pure functions from what is wanted to what must exist: no clock, no randomness, no I/O."""
