"""The run directory: one folder that is consistent after a stop at any instant."""
