"""`python -m lateint` is the command line."""

from lateint.cli.main import main

main()
