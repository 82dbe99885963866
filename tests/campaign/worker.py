"""`python -m tests.campaign.worker FOLDER`: damage a private copy of a store, read everything, undo the damage.

Reads one case per line of JSON and prints one answer per line. A signal that kills this process also counts as an outcome,
and an alarm kills it if a case takes longer than `LIMIT_S`. Needs no torch.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lateint_store import Store, open_store
from lateint_store.disk import environment
from lateint_store.errors import DamagedStore, LateintError, MissingDocument
from tests.campaign.stores import DELETED
from tests.support.stores import contents

LIMIT_S = 60
VERIFIED = 8  # one case in so many also runs `verify`
RANKS = ("right", "error", "missing", "untyped", "wrong")


@dataclass
class Answer:
    """The outcome of a case: the worst outcome of all reads, and their errors."""

    outcome: str = "right"
    errors: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)
    detail: str = ""

    def note(self, outcome: str, detail: str) -> None:
        """Keep the worst outcome and the start of its description."""
        if RANKS.index(outcome) > RANKS.index(self.outcome):
            self.outcome, self.detail = outcome, detail[:300]

    @contextmanager
    def catching(self, doc_id: str = "") -> Iterator[None]:
        """Note the exception that a read raises."""
        try:
            yield
        except MissingDocument as error:
            self.note("missing", str(error))
        except LateintError as error:
            self.note("error", str(error))
            self.errors.add(type(error).__name__)
            self.failed |= {doc_id} - {""}
            if isinstance(error, DamagedStore) and error.doc_id is not None:
                self.named.add(error.doc_id)
        except Exception as error:
            self.note("untyped", repr(error))


class Subject:
    """A store that is damaged again and again, and its undamaged contents."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with open_store(folder) as store:
            self.truth = contents(store)
            self.digest = store.content_digest()

    def judge(self, number: int, file: str, offset: int, mask: int) -> Answer:
        """Damage a file, read the store, undo the damage."""
        answer = Answer()
        with damaged(self.folder / file, offset, mask):
            with answer.catching(), open_store(self.folder) as store:
                self.read(store, answer)
            if number % VERIFIED == 0:
                self.check_verify(answer)
        if any(held.location.store == self.folder for held in environment._registry.values()):
            answer.note("wrong", "an LMDB environment was left open")
        return answer

    def read(self, store: Store, answer: Answer) -> None:
        """Read in every way: all documents by id, ids that do not exist, the list of ids, the totals."""
        self.read_documents(store, list(self.truth), answer)
        with answer.catching():
            if any(doc_id in store for doc_id in (*DELETED, "never there")):
                answer.note("wrong", "a document that is not there was found")
        with answer.catching():
            listed = list(store.ids())
            if listed != list(self.truth):
                answer.note("wrong" if set(listed) - set(self.truth) else "missing", f"{len(listed)} ids are listed")
        with answer.catching():
            if (len(store), store.content_digest()) != (len(self.truth), self.digest):
                answer.note("wrong", "the number of documents or the content digest differs")

    def read_documents(self, store: Store, ids: Sequence[str], answer: Answer) -> None:
        """Read documents at once; if that fails, read each half, down to the single document that fails."""
        trial = Answer()
        with trial.catching(ids[0]):
            found = contents(store, ids)
            if wrong := [doc_id for doc_id in ids if found[doc_id] != self.truth[doc_id]]:
                trial.note("wrong", f"other bytes for {wrong}")
        if len(ids) > 1 and trial.outcome != "right":
            self.read_documents(store, ids[: len(ids) // 2], answer)
            self.read_documents(store, ids[len(ids) // 2 :], answer)
        if len(ids) == 1 or trial.outcome in ("untyped", "wrong"):
            answer.note(trial.outcome, trial.detail)
        if len(ids) == 1:
            answer.errors |= trial.errors
            answer.failed |= trial.failed
            answer.named |= trial.named

    def check_verify(self, answer: Answer) -> None:
        """Check that `verify` does not raise on damage, and finds a problem if reading did."""
        from lateint_store import verify_store

        report = None
        try:
            report = verify_store(self.folder)
        except Exception as error:
            answer.note("untyped", f"verify raised {error!r}")
        if report is not None and report.ok and answer.outcome != "right":
            answer.note("wrong", f"verify finds nothing, reading finds: {answer.detail}")


@contextmanager
def damaged(path: Path, offset: int, mask: int) -> Iterator[None]:
    """Flip bits or truncate the file, and restore it afterwards."""
    with path.open("r+b", buffering=0) as file:
        file.seek(offset)
        original = file.read() if mask == 0 else file.read(1)
        if mask == 0:
            file.truncate(offset)
        else:
            os.pwrite(file.fileno(), bytes([original[0] ^ mask]), offset)
    try:
        yield
    finally:
        with path.open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), original, offset)


def to_json(number: int, answer: Answer) -> dict[str, Any]:
    return {
        "number": number, "outcome": answer.outcome, "errors": sorted(answer.errors), "detail": answer.detail,
        "failed": sorted(answer.failed), "named": sorted(answer.named),
    }  # fmt: skip


def main(root: Path) -> None:
    subjects = {folder.name: Subject(folder) for folder in root.iterdir()}
    for path in root.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    for line in sys.stdin:
        number, store, *place = json.loads(line)
        signal.alarm(LIMIT_S)
        answer = subjects[store].judge(number, *place)
        signal.alarm(0)
        sys.stdout.write(json.dumps(to_json(number, answer)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
