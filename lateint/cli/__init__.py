"""The command line: one file per verb, imported when the verb is called. Nothing imports this package."""
