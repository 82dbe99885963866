"""Runs the command line for `python -m lateint`."""

from lateint.cli.main import main

main()
