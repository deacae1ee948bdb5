"""Tests of the window, driven through its real widgets."""
