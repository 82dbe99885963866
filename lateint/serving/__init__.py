"""The rerank service: what `lateint serve` runs. Only the command line imports this package."""
