"""`python -m mortcond`: the command line."""

from mortcond.cli import main

main()
