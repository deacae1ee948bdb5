"""Contrast ultrasound: echo power over time, its motion, its curves, and what still enhances."""
