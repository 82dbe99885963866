"""Locate the files of a BEIR folder."""

from __future__ import annotations

from pathlib import Path

from lateint_store.errors import InputError

_SUFFIXES = ("", ".gz", ".zst", ".bz2")


def beir_file(folder: str | Path, name: str) -> Path:
    """Return the path of `folder/name`, plain or compressed. Raises: InputError if there is no such file."""
    for suffix in _SUFFIXES:
        path = Path(folder) / (name + suffix)
        if path.is_file():
            return path
    raise InputError(f"no {name}[.gz|.zst|.bz2] in {folder}; expected a BEIR folder, or the path of the file itself")


def beir_qrels(folder: str | Path) -> Path:
    """Return the path of the judgements of a BEIR folder: the test split, or the only split."""
    splits = sorted(path for path in (Path(folder) / "qrels").glob("*.tsv*") if path.is_file())
    test = [path for path in splits if path.name.startswith("test.tsv")]
    if len(test or splits) == 1:
        return (test or splits)[0]
    found = ", ".join(path.name for path in splits) or "none"
    raise InputError(f"cannot choose a qrels split in {folder} (found: {found}); name a file, such as {folder}/qrels/dev.tsv")
