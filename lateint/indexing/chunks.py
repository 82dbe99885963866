"""Long documents as chunks: pieces of at most so many tokens that overlap, each an entry `id#k` of its own.

A chunk is a text, a slice of the document between two words with the title in front (as in Dai and Callan's passages,
arXiv:1905.09217), so what is stored of it is what encoding that text alone gives. Its tokens are those of the slice; only
a tokenizer that keeps white space may see another token where a title meets a line break. A document that fits is one
chunk, itself. Every entry of a chunked store has a suffix, and the last `#k` is the number: ids may contain `#` themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lateint.errors import InputError

if TYPE_CHECKING:
    from lateint.model.document import Document
    from lateint.model.model import Model

COUNT = "chunks"  # the array of an entry that says how many chunks its document has; also the recorded fact
MAX_CHUNKS = 1 << 16


@dataclass(frozen=True, slots=True)
class Chunks:
    """How documents are cut.

    `length`: tokens of a chunk, title and special tokens included; `overlap`: how many of them, at least, repeat the end
    of the chunk before (a title takes its tokens from both alike); `limit`: the first so many chunks of a document are
    kept, None for all. Raises: InputError for numbers that no cutting can have.
    """

    length: int
    overlap: int = 0
    limit: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("length", 1), ("overlap", 0), ("limit", 1)):
            value = getattr(self, name)
            if value is None and name == "limit":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"chunks of {name} {value!r}; expected a whole number from {least} on")
        if self.overlap >= self.length:
            raise InputError(f"chunks of {self.length} tokens overlap by {self.overlap}; expected less than {self.length}")
        if self.limit is not None and self.limit > MAX_CHUNKS:
            raise InputError(f"at most {self.limit} chunks a document; expected at most {MAX_CHUNKS}, or None")

    def __str__(self) -> str:
        """The form that a store records: length/overlap, then /limit if there is one."""
        return f"{self.length}/{self.overlap}" + (f"/{self.limit}" if self.limit else "")

    @classmethod
    def parse(cls, text: str) -> Chunks:
        """The inverse of `str`."""
        return cls(*map(int, text.split("/")))


def chunk_id(doc_id: str, k: int) -> str:
    """The id of the entry of a document's k-th chunk, counted from 0. Raises: InputError for an id that is none."""
    if not isinstance(doc_id, str) or not doc_id:
        raise InputError(f"document id {doc_id!r}; expected str, not empty")
    return f"{doc_id}#{k}"


@dataclass(frozen=True, slots=True)
class Pieces:
    """Chunks of some documents, one document's after the other: `sizes` says how many each has.

    `cut`: documents whose end lies beyond the limit.
    """

    documents: list[Document]
    sizes: list[int]
    cut: int = 0


def cut(chunks: Chunks, model: Model, documents: Sequence[Document]) -> Pieces:
    """Cut documents into chunks by tokens of the model's tokenizer.

    A chunk ends before white space; before what the tokenizer calls a word, or inside one, where there is none for half a
    chunk. A title takes half of a chunk at most, its end is left out beyond that.
    Raises: InputError if the chunks do not fit the model, or a text is none. Cost: tokenising every text once more.
    """
    room = check_fits(chunks, model)
    pieces, sizes, lost = [], [], 0
    titles = _encodings(model, [document.title for document in documents])
    # With a title, the text follows a space: some tokenizers make other tokens of a word at the start of a text.
    bodies = [f" {document.text}" if document.title else document.text for document in documents]
    for document, title, body, tokens in zip(documents, titles, bodies, _encodings(model, bodies), strict=True):
        if len(title.ids) + len(tokens.ids) <= room:
            found = [document]
        else:
            heading = _heading(document.title, title, room // 2)
            left = room - min(len(title.ids), room // 2)
            offsets = tokens.offsets  # made anew whenever it is asked for
            spans = _spans((_words(body, offsets), tokens.word_ids), left, chunks.overlap * left // room)
            found = [replace(document, title=heading, text=_slice(body, offsets, span, heading)) for span in spans]
        kept = found[: chunks.limit]
        lost += len(kept) < len(found)
        pieces += [replace(chunk, id=chunk_id(document.id, k)) for k, chunk in enumerate(kept)]
        sizes.append(len(kept))
    return Pieces(pieces, sizes, lost)


def check_fits(chunks: Chunks, model: Model) -> int:
    """Tokens that a chunk of this model has room for beside the special ones.

    Raises: InputError if the model cuts texts before a chunk ends, or nothing is left beside special tokens and overlap.
    """
    layout = model.method.document
    if chunks.length > layout.max_length:
        raise InputError(
            f"chunks of {chunks.length} tokens, but {model.name} reads {layout.max_length} tokens of a document; "
            "make them shorter, or load the model with a larger doc_max_length"
        )
    special = len(model.texts.tokens([""], replace(layout, fill=""))[0])
    room = chunks.length - special
    if room <= chunks.overlap or room < 2:
        raise InputError(
            f"chunks of {chunks.length} tokens, {special} of them special and {chunks.overlap} overlapping, leave no room "
            f"for text; expected at least {special + max(2, chunks.overlap + 1)} tokens"
        )
    return room


def _encodings(model: Model, texts: Sequence[str]) -> list[Any]:
    try:
        encodings: list[Any] = model.texts.raw.encode_batch(list(texts), add_special_tokens=False)
    except (TypeError, UnicodeError):
        model.texts.tokens(texts, model.method.document)  # says which text is none, and why
        raise
    return encodings


def _heading(title: str, tokens: Any, most: int) -> str:
    return title if len(tokens.ids) <= most else title[: tokens.offsets[most - 1][1]]


Words = Sequence[int | None]


def _words(body: str, offsets: Sequence[tuple[int, int]]) -> list[int | None]:
    """The number of the word that each token is in; white space begins a word."""
    numbers: list[int | None] = []
    number = before = 0
    for start, end in offsets:
        number += any(map(str.isspace, body[before : start + 1]))
        numbers.append(number)
        before = end
    return numbers


def _spans(levels: Sequence[Words], length: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Token spans [start, end) of at most `length`, each begun `overlap` tokens or more before the end of the last."""
    start, n = 0, len(levels[0])
    while start + length < n:
        end = _boundary(levels, start + length, start + max(overlap, length // 2))
        yield start, end
        start = _boundary(levels, end - overlap, start + (end - overlap - start) // 2)
    yield start, n


def _boundary(levels: Sequence[Words], at: int, after: int) -> int:
    """The start of the word that token `at` is in, by the first level that has one behind `after`; else `at`."""
    for words in levels:
        start = at
        while start > after and words[start] is not None and words[start] == words[start - 1]:
            start -= 1
        if start > after:
            return start
    return at


def _slice(body: str, offsets: Sequence[tuple[int, int]], span: tuple[int, int], heading: str) -> str:
    """The text of a span of tokens, from the end of the token before it, so that it keeps the space it begins with."""
    start, end = span
    if start == end:  # a text without a token
        return ""
    text = body[offsets[start - 1][1] if start else 0 : offsets[end - 1][1]]
    return text.lstrip() if heading else text
