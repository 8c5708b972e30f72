"""The DARTS space (Liu et al., ICLR 2019)."""
