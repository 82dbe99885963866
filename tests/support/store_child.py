"""Verbs on a store for processes of their own: `store_child VERB PATH ...` prints a JSON value or a lateint error."""

import json
import os
import resource
import sys
from pathlib import Path

from lateint_store import create_set, create_store, merge, open_store, parse_codecs, recode, split
from lateint_store.errors import LateintError
from tests.support.stores import ABOUT, WINDOW, build, contents, fill, specs


def summary(store):
    return {
        "documents": len(store),
        "digest": store.content_digest(),
        "position": store.progress.source_position,
        "run": store.info()["encoded_by_last_run"],
    }


def verb_build(path, documents, shard=None):
    chosen = tuple(map(int, shard.split("/"))) if shard else None
    return summary(build(path, int(documents), shard=chosen))


def verb_build_limited(path, documents, limit):
    """Build with files of at most `limit` bytes, which acts like a full disk."""
    store = create_store(path, specs(), **ABOUT, window=WINDOW)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    fill(store, int(documents))
    return summary(store)


def verb_rolling(path, documents):
    return summary(build(path, int(documents), documents_per_shard=64))


def verb_delete(path, *ids):
    with open_store(path, write=True) as store:
        store.delete(ids)
        return summary(store)


def verb_compact(path):
    with open_store(path, write=True) as store:
        store.compact()
        return summary(store)


def verb_seal(path):
    with open_store(path, write=True) as store:
        store.seal()
        return summary(store)


def verb_merge(path, *parts):
    return summary(merge([Path(part) for part in parts], path))


def verb_publish(path, *members):
    create_set(path, members)


def verb_split(path, source, members, by="id"):
    split(source, path, int(members), by=by)


def verb_recode(path, source, codecs):
    return summary(recode(source, path, parse_codecs(codecs))[0])


def verb_read(path):
    with open_store(path) as store:
        return summary(store) | {"ids": len(contents(store))}


def verb_write(path):
    with open_store(path, write=True) as store:
        return summary(store)


def verb_read_as_nobody(path):
    if os.geteuid() == 0:
        os.setegid(65534)
        os.seteuid(65534)
    return verb_read(path)


def verb_read_small_address_space(path):
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    return verb_read(path)


def verb_seal_small_address_space(path):
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    return verb_seal(path)


def verb_damaged_reads(path, *mutations):
    """Apply each mutation (`offset:hex` writes bytes, `cut:size` truncates) to the LMDB file, read it, restore it."""
    data = next(Path(path).glob("shard-*")) / "data.mdb"
    original = data.read_bytes()
    with open_store(path) as store:
        truth = contents(store)
    outcomes = []
    for mutation in mutations:
        offset, _, value = mutation.partition(":")
        changed = bytearray(original)
        if offset == "cut":
            changed = changed[: int(value)]
        else:
            changed[int(offset) : int(offset) + len(value) // 2] = bytes.fromhex(value)
        data.write_bytes(changed)
        outcomes.append(outcome(path, truth))
    data.write_bytes(original)
    return outcomes


def outcome(path, truth):
    try:
        with open_store(path) as store:
            found = {doc_id: read_one(store, doc_id) for doc_id in truth}
            store.verify()
    except LateintError as error:
        return type(error).__name__
    wrong = [doc_id for doc_id, arrays in found.items() if not isinstance(arrays, str) and arrays != truth[doc_id]]
    errors = {arrays for arrays in found.values() if isinstance(arrays, str)}
    return "wrong bytes" if wrong else ",".join(sorted(errors)) or "unharmed"


def read_one(store, doc_id):
    try:
        return contents(store, [doc_id])[doc_id]
    except LateintError as error:
        return type(error).__name__


def answer(verb, folder, *rest):
    """JSON of what the verb returns, or of the lateint error that it raises."""
    try:
        return json.dumps(globals()["verb_" + verb](Path(folder), *rest))
    except LateintError as error:
        return json.dumps({"error": type(error).__name__, "message": str(error)})


if __name__ == "__main__":
    sys.stdout.write(answer(*sys.argv[1:]))
