"""Questions to the reader that a panel has no room for. None of them only informs."""
