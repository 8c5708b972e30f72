"""Networks under distribution shift."""
