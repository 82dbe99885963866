"""The source of a build: its windows, and the digest that tells whether it is what the store was built from.

The digest chains document by document, so it does not depend on windows. A source that ended inside a window may grow:
the window is encoded again as a whole, which gives the content of a build that never ended there. Where that is impossible
(documents were added behind it, or deleted from it), only the rest of the window is encoded.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice

from lateint.errors import StoreMismatch
from lateint.indexing.source_digest import SourceDigest, is_former
from lateint.indexing.store import Store
from lateint.indexing.windows import PlannedDocuments
from lateint.model.document import Document, as_document


@dataclass(frozen=True, slots=True)
class SourceWindow:
    """Consecutive documents of a source, and the running digest up to the last.

    `start`: index of the first; `mine`: False if another shard encodes them; `again`: how many at the start are in the store
    already, as its last window, and `replaces`: True if these documents replace that window; `skipped`: how many documents
    behind them, of other shards, were not read.
    """

    documents: list[Document]
    start: int
    digest: str
    mine: bool
    again: int = 0
    replaces: bool = False
    skipped: int = 0

    @property
    def end(self) -> int:
        """Index of the document behind the window."""
        return self.start + len(self.documents) + self.skipped


def source_windows(store: Store, documents: Iterable[Document | str]) -> Iterator[SourceWindow]:
    """Yield the windows of a source that the store does not hold yet, or not as a whole.

    Raises: StoreMismatch if the source does not begin with the documents that the store was built from.
    """
    if isinstance(documents, PlannedDocuments):
        yield from _planned_windows(store, documents)
        return
    stream, size = map(as_document, documents, count()), store.manifest.window
    position, digest, again = _skip(store, stream, documents)
    replaces = bool(again) and _is_mine(store, position)
    if replaces and not _is_last_window(store, again):
        position, digest, again, replaces = position + len(again), digest.extended(again), [], False
    while batch := again + list(islice(stream, size - position % size - len(again))):
        if len(batch) == len(again):
            return  # the source has not grown
        digest = digest.extended(batch)
        yield SourceWindow(batch, position, digest.value, _is_mine(store, position), len(again), replaces)
        position, again, replaces = position + len(batch), [], False


def _planned_windows(store: Store, source: PlannedDocuments) -> Iterator[SourceWindow]:
    """Yield the windows of this shard that the store does not hold, then, without reading them, the end of the others."""
    plan, position = source.plan, store.progress.source_position
    again = _check_planned(store, source)
    unfinished = position // plan.size if position < plan.documents else len(plan.windows)
    for number in range(unfinished, len(plan.windows)):
        start, window = number * plan.size, plan.windows[number]
        if not _is_mine(store, start):
            again = []
            continue
        documents, kept = source.window(number), len(again)
        if kept and not _is_last_window(store, again):
            yield SourceWindow(documents[kept:], start + kept, window.digest, True)
        elif len(documents) > kept:
            yield SourceWindow(documents, start, window.digest, True, kept, bool(kept))
        again, position = [], start + len(documents)
    if position < plan.documents:
        yield SourceWindow([], position, plan.windows[-1].digest, False, skipped=plan.documents - position)


def _check_planned(store: Store, source: PlannedDocuments) -> list[Document]:
    """Check that the store was built from the beginning of a planned source.

    Returns: documents of a window that had not ended. Raises: StoreMismatch.
    """
    done, plan = store.progress, source.plan
    number, inside = divmod(done.source_position, plan.size)
    if plan.size != store.manifest.window:
        raise StoreMismatch(f"{store.path} has windows of {store.manifest.window} documents, the plan of {plan.size}")
    found, known = list[Document](), done.source_position <= plan.documents
    if known and inside and done.source_position < plan.documents:
        found = source.window(number)[:inside]
        known = plan.digest_before(number).extended(found).value == done.source_digest
    elif known:
        known = plan.digest_before(number + (inside > 0)).value == done.source_digest
    if not known:
        raise StoreMismatch(
            f"the first {done.source_position} documents of {source.file} are not those that {store.path} was built from; "
            "use another path, or build on without the plan if an earlier version began the store"
        )
    return found


def _is_mine(store: Store, position: int) -> bool:
    """True unless another shard encodes the window that holds this position."""
    shard = store.manifest.shard
    return shard is None or position // store.manifest.window % shard[1] == shard[0]


def _is_last_window(store: Store, documents: Sequence[Document]) -> bool:
    """True if the last window of the store can be replaced and holds just these documents."""
    wanted = [store.first_id(document.id) for document in documents]
    return [doc_id for doc_id in store.last_window() if doc_id in set(wanted)] == wanted


def _skip(
    store: Store, stream: Iterator[Document], documents: Iterable[Document | str]
) -> tuple[int, SourceDigest, list[Document]]:
    """Skip the documents that earlier runs committed, up to the end of the last whole window.

    Returns: the position there, the digest up to there, and the documents behind it, of a window that is not whole.
    Raises: StoreMismatch if they are not the documents that the store was built from.
    """
    done, shard = store.progress, store.manifest.shard
    former = is_former(done.source_digest)
    check = SourceDigest(former=former)
    keep = SourceDigest(former=former and shard is not None)  # shards are merged if their digests are equal
    read, whole = 0, (0, keep, list[Document]())
    for end in _window_ends(store, former and shard is None):
        batch = list(islice(stream, end - read))
        if len(batch) < end - read:
            raise StoreMismatch(
                f"{store.path} was built from {done.source_position} documents, this corpus has {read + len(batch)}; "
                "use `add` for new documents, or another path"
            )
        after = keep.extended(batch)
        check = after if after.former == former else check.extended(batch)
        is_whole = end % store.manifest.window == 0 or read % store.manifest.window
        whole = (end, after, []) if is_whole else (read, keep, batch)
        read, keep = read + len(batch), after
    if check.value != done.source_digest:
        raise StoreMismatch(
            f"the first {read} documents are not those that {store.path} was built from{_difference(store, documents)}; "
            "use another path"
        )
    return whole


def _window_ends(store: Store, recorded: bool) -> Iterator[int]:
    """Yield the ends of the windows that the store has read: regular ones, and `recorded` ones of a source that grew."""
    position, end, size = 0, store.progress.source_position, store.manifest.window
    irregular = store.window_ends() if recorded else []
    while position < end:
        behind = irregular[bisect_right(irregular, position) :][:1]
        position = min([position + size if recorded else position - position % size + size, end, *behind])
        yield position


def _difference(store: Store, documents: Iterable[Document | str]) -> str:
    """Name the first document whose id is not the stored one, if the source can be read again."""
    if isinstance(documents, Iterator) or len(store) < store.progress.documents:  # some were deleted
        return ""
    held = (doc_id for doc_id in store.ids() if store.chunks is None or doc_id.endswith("#0"))
    there = next(held, None)
    for index, document in enumerate(islice(map(as_document, documents, count()), store.progress.source_position)):
        wanted = store.first_id(document.id)
        if wanted == there:
            there = next(held, None)
        elif _is_mine(store, index):
            return f": document {index} has the id {document.id!r}, where the store has {there!r}"
    return ": their ids are equal, so a title or a text differs"
