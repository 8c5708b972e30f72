"""Detection data: pictures with boxes in the layout of COCO, read without its own tools."""
