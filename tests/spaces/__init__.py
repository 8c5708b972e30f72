"""Tests of lowland.spaces."""
