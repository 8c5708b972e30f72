"""The forms in which a delivered network leaves lowland, one module each; `table` names them."""
