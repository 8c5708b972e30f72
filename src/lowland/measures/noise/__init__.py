"""Measures of the loss and the accuracy under weight noise (GeNAS, FlatNAS)."""
