"""Common corruptions of test images (Hendrycks and Dietterich, ICLR 2019)."""
