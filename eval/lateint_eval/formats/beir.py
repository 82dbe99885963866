"""Where the files of a BEIR folder are."""

from __future__ import annotations

from pathlib import Path

from lateint_store.errors import InputError

_SUFFIXES = ("", ".gz", ".zst", ".bz2")


def beir_file(folder: str | Path, name: str) -> Path:
    """`folder/name`, plain or compressed; raises InputError if there is none."""
    for suffix in _SUFFIXES:
        path = Path(folder) / (name + suffix)
        if path.is_file():
            return path
    raise InputError(f"no {name}[.gz|.zst|.bz2] in {folder}; expected a BEIR folder or name the file itself")


def beir_qrels(folder: str | Path) -> Path:
    """The judgements of a BEIR folder: the test split, or the only split there is."""
    splits = sorted(path for path in (Path(folder) / "qrels").glob("*.tsv*") if path.is_file())
    test = [path for path in splits if path.name.startswith("test.tsv")]
    if len(test or splits) == 1:
        return (test or splits)[0]
    found = ", ".join(path.name for path in splits) or "none"
    raise InputError(f"cannot choose a qrels split in {folder} (found: {found}); name one: {folder}/qrels/dev.tsv")
