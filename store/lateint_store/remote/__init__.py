"""Sealed stores and sets in object storage: publish, fetch, and a folder of local copies. Needs the extra `remote`."""
