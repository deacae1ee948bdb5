"""Compiled loops of the synthetic subjects; they know only numpy and numba."""
