"""Cut long documents into overlapping chunks of limited length; each chunk is an entry `id#k`.

A chunk is a text: a slice of the document between two words, after the title (as the passages of Dai and Callan,
arXiv:1905.09217). Its stored arrays equal those of encoding that text alone. Its tokens are those of the slice, with one
exception: a tokenizer that keeps white space may give another token where a line break follows the title. A document that
fits is a single chunk. Every id in a chunked store has a suffix, and the last `#k` is the chunk number: ids may contain `#`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lateint.errors import InputError
from lateint_store import ArraySpec
from lateint_store.arguments import check_kind, parse_count

if TYPE_CHECKING:
    from tokenizers import Encoding

    from lateint.model.document import Document
    from lateint.model.model import Model

COUNT = "chunks"  # array with the number of chunks of the entry's document; also the key in the store's fingerprint
COUNT_SPEC = ArraySpec("int64", 1, rows="one")
MAX_CHUNKS = 1 << 16


@dataclass(frozen=True, slots=True)
class Chunks:
    """How documents are cut into chunks.

    `length`: tokens of a chunk, title and special tokens included; `overlap`: at least this many of them repeat the end of
    the chunk before (a title reduces length and overlap in proportion); `limit`: how many chunks of a document are kept,
    None for all. Raises: InputError for invalid numbers.
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
                raise InputError(f"chunks of {name} {value!r}; expected a whole number of at least {least}")
        if self.overlap >= self.length:
            raise InputError(f"chunks of {self.length} tokens overlap by {self.overlap}; expected less than {self.length}")
        if self.limit is not None and self.limit > MAX_CHUNKS:
            raise InputError(f"at most {self.limit} chunks a document; expected at most {MAX_CHUNKS}, or None")

    def __str__(self) -> str:
        """Return the recorded form: length/overlap, then /limit if there is one."""
        return f"{self.length}/{self.overlap}" + (f"/{self.limit}" if self.limit else "")

    @classmethod
    def parse(cls, text: str) -> Chunks:
        """Read the recorded form, the inverse of `str`. Raises: InputError."""
        found = [parse_count(number) for number in text.split("/")] if isinstance(text, str) else []
        numbers = [number for number in found if number is not None]
        if not 2 <= len(numbers) == len(found) <= 3:
            raise InputError(f"chunks {text!r}; expected length/overlap or length/overlap/limit")
        return cls(*numbers)


def chunk_id(doc_id: str, k: int) -> str:
    """Return the entry id of a document's k-th chunk, counted from 0. Raises: InputError for an invalid document id."""
    if not isinstance(doc_id, str) or not doc_id:
        raise InputError(f"document id {doc_id!r}; expected str, not empty")
    return f"{doc_id}#{k}"


@dataclass(frozen=True, slots=True)
class Pieces:
    """Chunks of several documents, document by document; `sizes`: the number of chunks of each document.

    `cut`: how many documents lost their end to `limit`.
    """

    documents: list[Document]
    sizes: list[int]
    cut: int = 0


def cut(chunks: Chunks, model: Model, documents: Sequence[Document]) -> Pieces:
    """Cut documents into chunks, counted in tokens of the model's tokenizer.

    A chunk ends before white space. If there is none in its second half, it ends before a word of the tokenizer, else
    inside a word. A title takes at most half of a chunk, and is truncated there.
    Raises: InputError if the chunks do not fit the model, or a text is not a str. Cost: tokenises every text once more.
    """
    room = check_fits(chunks, model)
    pieces, sizes, n_cut = [], [], 0
    titles = _encodings(model, [document.title for document in documents])
    # After a title, the text follows a space: some tokenizers give other tokens for a word at the start of a text.
    bodies = [f" {document.text}" if document.title else document.text for document in documents]
    for document, title, body, tokens in zip(documents, titles, bodies, _encodings(model, bodies), strict=True):
        if len(title.ids) + len(tokens.ids) <= room:
            parts = [document]
        else:
            heading = _heading(document.title, title, room // 2)
            left = room - min(len(title.ids), room // 2)
            offsets = tokens.offsets  # every access makes a new list
            spans = _spans((_words(body, offsets), tokens.word_ids), left, chunks.overlap * left // room)
            parts = [replace(document, title=heading, text=_slice(body, offsets, span, heading)) for span in spans]
        kept = parts[: chunks.limit]
        n_cut += len(kept) < len(parts)
        pieces += [replace(chunk, id=chunk_id(document.id, k)) for k, chunk in enumerate(kept)]
        sizes.append(len(kept))
    return Pieces(pieces, sizes, n_cut)


def check_fits(chunks: Chunks, model: Model) -> int:
    """Return how many tokens of a chunk are left beside the special tokens of this model.

    Raises: InputError if the model truncates texts to less than a chunk, or special tokens and overlap fill the chunk.
    """
    check_chunks(chunks)
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


def check_chunks(chunks: object) -> None:
    """Refuse what is no `Chunks`. Raises: InputError."""
    check_kind(chunks, "chunks", Chunks, "lateint.Chunks(length, overlap)")


def _encodings(model: Model, texts: Sequence[str]) -> list[Encoding]:
    try:
        encodings: list[Encoding] = model.texts.raw.encode_batch(list(texts), add_special_tokens=False)
    except (TypeError, UnicodeError):
        model.texts.tokens(texts, model.method.document)  # raises an InputError that names the text
        raise
    return encodings


def _heading(title: str, tokens: Encoding, most: int) -> str:
    return title if len(tokens.ids) <= most else title[: tokens.offsets[most - 1][1]]


Words = Sequence[int | None]


def _words(body: str, offsets: Sequence[tuple[int, int]]) -> list[int | None]:
    """Return the word number of each token; words are separated by white space."""
    numbers: list[int | None] = []
    number = before = 0
    for start, end in offsets:
        number += any(map(str.isspace, body[before : start + 1]))
        numbers.append(number)
        before = end
    return numbers


def _spans(levels: Sequence[Words], length: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Yield token spans [start, end) of at most `length`; each starts at least `overlap` tokens before the last one's end."""
    start, n = 0, len(levels[0])
    while start + length < n:
        end = _boundary(levels, start + length, start + max(overlap, length // 2))
        yield start, end
        start = _boundary(levels, end - overlap, start + (end - overlap - start) // 2)
    yield start, n


def _boundary(levels: Sequence[Words], at: int, after: int) -> int:
    """Return the start of the word at token `at`, in the first of `levels` where it is after token `after`; else `at`."""
    for words in levels:
        start = at
        while start > after and words[start] is not None and words[start] == words[start - 1]:
            start -= 1
        if start > after:
            return start
    return at


def _slice(body: str, offsets: Sequence[tuple[int, int]], span: tuple[int, int], heading: str) -> str:
    """Return the text of a token span, from the end of the token before it, so that leading white space is kept."""
    start, end = span
    if start == end:  # a text without a token
        return ""
    text = body[offsets[start - 1][1] if start else 0 : offsets[end - 1][1]]
    return text.lstrip() if heading else text
