"""Contrast ultrasound: from a loop to curves, maps and what still enhances."""
