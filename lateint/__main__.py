"""`python -m lateint` is the command line."""

from lateint.cli import main

main()
