"""The verbs of the command line, by subject. Each parses, calls the workflow and prints."""
