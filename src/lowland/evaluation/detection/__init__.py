"""Object detection: RetinaNet with a backbone of ours, and its average precision on COCO-like data."""
