"""Semantic segmentation: DeepLabv3 with a backbone of ours, and its mean intersection over union."""
