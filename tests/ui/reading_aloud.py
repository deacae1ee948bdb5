"""What a person can read in a window: as the walk reads it."""

from app.ui.walk.aloud import english_in, texts_of

__all__ = ["english_in", "texts_of"]
