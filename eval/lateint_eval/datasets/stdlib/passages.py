"""The demo corpus: the documentation of the running Python's standard library, cut into short passages.

This project stores none of that text; it is read from the installation. The questions are in `questions`.
"""

import re
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lateint_eval.datasets.stdlib.docstrings import NamedDocstring, import_docstrings, parse_docstrings
from lateint_eval.datasets.stdlib.modules import IMPORTED, PARSED, SKIPPED, public_name, source_files
from lateint_eval.datasets.stdlib.questions import judged_ids
from lateint_eval.datasets.stdlib.topics import topic_paragraphs
from lateint_store.errors import InputError

MAX_PASSAGES = 3000
_MIN_PASSAGES = 2000
MIN_WORDS = 6
MAX_WORDS = 64
MAX_CHARS = 360  # with MAX_WORDS and a title, 19 of 20 passages fit in 96 word pieces


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage of documentation; `id` is a qualified name or `topic:...`, `title` is displayed, `text` is one line."""

    id: str
    title: str
    text: str


def build_passages(stdlib: Path | None = None) -> list[Passage]:
    """Build the corpus, in the same order in every process.

    Args: `stdlib` is the folder of the standard library's sources; None means that of the running interpreter.
    Returns: at most MAX_PASSAGES passages with unique ids, each within MAX_WORDS and MAX_CHARS. If there are more, the last
    passages without judgement are dropped.
    Raises: InputError if most sources are missing (an interpreter without sources). Cost: 1 to 2 seconds.
    """
    root = Path(sysconfig.get_path("stdlib")) if stdlib is None else stdlib
    candidates = [*_docstring_passages(root), *_language_passages()]
    passages = _distinct(passage for passage in candidates if len(passage.text.split()) >= MIN_WORDS)
    if len(passages) < _MIN_PASSAGES:
        raise InputError(
            f"found {len(passages)} passages of documentation in the standard library at {root}, expected at least "
            f"{_MIN_PASSAGES}; use a Python that is installed with its sources and not run with -OO"
        )
    return _capped(passages, judged_ids())


def shorten(text: str) -> str:
    r"""Return the beginning of a text, up to the last sentence or paragraph that fits MAX_WORDS and MAX_CHARS.

    Text from the first `>>>` prompt on is dropped; white space becomes single spaces. A first sentence that is too long is cut
    between words.

    >>> shorten("Return the mean.\n\n    Details follow.\n\n>>> mean([1, 2])\n1.5")
    'Return the mean. Details follow.'
    """
    prose = text.split(">>>")[0]
    sentences = [" ".join(part.split()) for part in re.split(r"(?<=[.!?:;])\s+|\n\s*\n", prose)]
    taken = ""
    for sentence in filter(None, sentences):
        longer = f"{taken} {sentence}".strip()
        if len(longer) > MAX_CHARS or len(longer.split()) > MAX_WORDS:
            return taken or _cut_words(sentence)
        taken = longer
    return taken


def _cut_words(sentence: str) -> str:
    taken = " ".join(sentence.split()[:MAX_WORDS])
    return taken if len(taken) <= MAX_CHARS else taken[: MAX_CHARS + 1].rpartition(" ")[0] or taken[:MAX_CHARS]


def _docstring_passages(root: Path) -> Iterator[Passage]:
    skipped = tuple(SKIPPED.split())
    for name, doc in _named_docstrings(root):
        if not name.startswith(skipped):
            yield Passage(name, name, shorten(doc))


def _named_docstrings(root: Path) -> Iterator[NamedDocstring]:
    for module in IMPORTED.split():
        yield from import_docstrings(public_name(module), module)
    for module in PARSED.split():
        yield from parse_docstrings(module, [root / file for file in source_files(module)])


def _language_passages() -> Iterator[Passage]:
    from pydoc_data.topics import topics  # 700 kB of strings, so only when the corpus is built

    for identifier, title, text in topic_paragraphs(topics):
        yield Passage(identifier, title, shorten(text))


def _distinct(passages: Iterable[Passage]) -> list[Passage]:
    """Drop passages with a repeated id, or with the same last name and text as an earlier one (`copy` of sets)."""
    seen: set[tuple[str, str] | str] = set()
    kept = []
    for passage in passages:
        saying = (passage.id.rpartition(".")[2], passage.text)
        if passage.id not in seen and saying not in seen:
            kept.append(passage)
        seen |= {passage.id, saying}
    return kept


def _capped(passages: list[Passage], judged: frozenset[str]) -> list[Passage]:
    others = [passage.id for passage in passages if passage.id not in judged]
    room = max(0, MAX_PASSAGES - (len(passages) - len(others)))
    dropped = set(others[room:])
    return [passage for passage in passages if passage.id not in dropped]
