"""Adapters of `lateint.Ranker` for PyTerrier pipelines and MTEB tasks. Each module needs its own extra."""
