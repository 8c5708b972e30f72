"""`python -m lowland` is the command line."""

from lowland.app.cli import main

main()
