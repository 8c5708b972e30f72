"""Elastic MobileNetV3 spaces (Once-for-All, Cai et al., ICLR 2020)."""
