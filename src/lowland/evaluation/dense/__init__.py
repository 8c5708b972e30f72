"""Dense tasks: a network of any kind as a backbone, trained for several seeds, and what came of it."""
