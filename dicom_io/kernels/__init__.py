"""Compiled inner loops of decoders; numpy and numba only."""
