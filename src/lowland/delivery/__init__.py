"""The found network as a folder that anyone can load, and as exported programs."""
