"""Training data for `lateint train --data`: a ranking folder, a file of labelled sentence pairs, or a file of texts."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

from lateint_eval.datasets.folder import training_set
from lateint_eval.formats.lines import bare_name, decode, file_mode, is_folder, read_lines
from lateint_eval.formats.pairs import pair_columns, read_pairs
from lateint_store.errors import InputError

if TYPE_CHECKING:
    from lateint.train.data import PairSet, TextSet, TrainingSource


def training_source(path: str | Path, split: str = "train", seed: int = 0) -> TrainingSource:
    """Read training data: a folder as ranking lists, a `.txt` file as texts, any other file as labelled pairs.

    Raises: InputError if the path does not exist or contains no usable data; FormatError for a malformed line.
    """
    if is_folder(path):
        return training_set(path, split)
    if not stat.S_ISREG(file_mode(path)):
        raise InputError(f"{path} is neither a ranking folder nor a file of sentence pairs or texts")
    if bare_name(path).endswith(".txt"):
        return training_texts(path, seed)
    return training_pairs(path, split, seed)


def training_pairs(path: str | Path, split: str = "train", seed: int = 0) -> PairSet:
    """Read labelled pairs from a file; labels are scaled to 0..1.

    If the file has a column `split`, only rows with this value are read; `column=value` selects by another column.
    Raises: InputError if all labels are equal, because nothing can be learned from them.
    """
    from lateint.train.data import PairSet

    column, named, word = split.rpartition("=")
    marked = named or "split" in map(str.lower, pair_columns(path))
    pairs = read_pairs(path, where={column or "split": {word}} if marked else None)
    labels = [pair.label for pair in pairs]
    low, high = min(labels), max(labels)
    if low == high:
        raise InputError(f"all {len(labels)} labels of {path} are {low:g}; expected at least two different ones")
    scaled = [(label - low) / (high - low) for label in labels]
    return PairSet(Path(path).name, [(pair.first, pair.second) for pair in pairs], scaled, seed)


def training_texts(path: str | Path, seed: int = 0) -> TextSet:
    """Read the distinct texts of a file, one per line; such a file has no splits.

    Raises: InputError for a file without text; FormatError for a line that is not UTF-8.
    """
    from lateint.train.data import TextSet

    texts = dict.fromkeys(decode(line, str(path), number).strip() for number, line in read_lines(path))
    texts.pop("", None)
    if not texts:
        raise InputError(f"{path} holds no text; expected one text per line")
    return TextSet(Path(path).name, list(texts), seed)
