"""Rankers of ours where users already are: PyTerrier pipelines and MTEB tasks. Each module needs its own extra."""
