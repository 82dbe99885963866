"""Join word pieces to the words that a reader knows: of a query from its text, of a document from token ids alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from lateint.backbone.tokenizer import TextEncoder, clear_panics
from lateint.methods.method import Layout

_WORD_STARTS = ("\u0120", "\u2581")  # what byte-level and SentencePiece vocabularies put before a word


class Word(NamedTuple):
    """The word of a token: the index of its first token, and its text."""

    first: int
    text: str


def words_of_query(texts: TextEncoder, text: str, layout: Layout) -> list[Word]:
    """Return the word of each token of a query in its layout, as the text writes it.

    Special tokens, markers and fill are words of their own; equal ones count as one. Cost: tokenises the text twice.
    """
    (row,) = texts.tokens([text], layout)
    with clear_panics():
        encoding = texts.raw.encode(text, add_special_tokens=False)
    start = int(texts.text_masks([row], layout)[0].int().argmax())
    numbers, offsets, firsts, found = encoding.word_ids, encoding.offsets, dict[str | int, int](), list[Word]()
    inside = 0  # text tokens so far; special tokens follow where the text ends, or was cut
    for index, token_id in enumerate(row):
        if index == start + inside and inside < len(offsets) and encoding.ids[inside] == token_id:
            number = numbers[inside]
            same = [inside] if number is None else [k for k, other in enumerate(numbers) if other == number]
            word = text[offsets[same[0]][0] : offsets[same[-1]][1]].strip()
            first, inside = start + same[0], inside + 1
        else:
            word = _token(texts, token_id)
            first = firsts.setdefault(word, index)
        found.append(Word(first, word))
    return found


def words_of_ids(texts: TextEncoder, ids: Sequence[int]) -> list[Word]:
    """Return the word of each token id, as the vocabulary writes it: adjacent pieces of a word are joined.

    A piece whose beginning is not before it, because the text was cut there, stays as it is, such as `##ing`.
    """
    tokens = [_token(texts, token_id) for token_id in ids]
    continues = _continuations(texts, ids, tokens)
    starts = [index for index, continued in enumerate(continues) if not continued]
    found: list[Word] = []
    for start, end in pairwise([*starts, len(tokens)]):
        found += [Word(start, _joined(texts, ids[start:end], tokens[start:end]))] * (end - start)
    return found


def _token(texts: TextEncoder, token_id: int) -> str:
    """Return a token as the vocabulary writes it; its number if the vocabulary lacks it, as embeddings may be padded."""
    token: str | None = texts.raw.id_to_token(token_id)
    return f"#{token_id}" if token is None else token


def _continuations(texts: TextEncoder, ids: Sequence[int], tokens: Sequence[str]) -> list[bool]:
    """Return which tokens continue the word of the token before; none continues a special token."""
    if prefix := _prefix(texts):
        inside = [token.startswith(prefix) for token in tokens]
    elif type(texts.raw.model).__name__ in ("BPE", "Unigram"):
        inside = [not token.startswith(_WORD_STARTS) for token in tokens]
    else:
        return [False] * len(tokens)
    special = {*texts.raw.get_added_tokens_decoder(), *(i for t in texts.templates.values() for i in (*t.before, *t.after))}
    alone = [token_id in special for token_id in ids]
    return [i > 0 and inside[i] and not (alone[i] or alone[i - 1]) for i in range(len(tokens))]


def _joined(texts: TextEncoder, ids: Sequence[int], tokens: Sequence[str]) -> str:
    """Return the text of one word."""
    if prefix := _prefix(texts):
        return "".join([tokens[0], *(token.removeprefix(prefix) for token in tokens[1:])])
    if len(tokens) == 1 and not tokens[0].startswith(_WORD_STARTS):
        return tokens[0]
    decoded: str = texts.raw.decode(list(ids), skip_special_tokens=False)
    return decoded.strip() or "".join(tokens)


def _prefix(texts: TextEncoder) -> str:
    """Return the prefix of pieces inside a word, for vocabularies of word pieces; empty for others."""
    return str(getattr(texts.raw.model, "continuing_subword_prefix", None) or "")
