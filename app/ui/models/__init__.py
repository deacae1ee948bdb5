"""Qt table models over plain values; no state of their own beyond the rows they were given."""
