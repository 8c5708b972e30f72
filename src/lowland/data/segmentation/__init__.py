"""Data sets for segmentation: where pictures and masks lie, what their labels mean, and how both are augmented."""
