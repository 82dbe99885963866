"""Run in a client's own environment: what each client gets from the service, as JSON. Imports nothing of ours."""

import json
import sys


class Case:
    """An address, a key, a query, and candidates as ids and as texts, read from standard input."""

    def __init__(self):
        self.__dict__ |= json.load(sys.stdin)

    @property
    def unknown(self):
        """Candidates that the store lacks."""
        return [{"id": "nowhere"}]


def report(case, clients):
    """Print what each client gets. A client is a function of candidates and a key that returns [(index, score)]."""
    found = {}
    for name, (client, as_objects) in clients.items():
        ids = [{"id": doc_id} for doc_id in case.ids] if as_objects else [f"id:{doc_id}" for doc_id in case.ids]
        found[name] = {
            "ids": client(ids, case.key),
            "texts": client(case.texts, case.key),
            "unknown": error_of(client, case.unknown if as_objects else ["id:nowhere"], case.key),
            "key": error_of(client, case.texts, "not-a-key-of-it"),
        }
    sys.stdout.write(json.dumps(found))


def error_of(client, documents, key):
    """The type and the message of the error that a client raises."""
    try:
        return ["no error", str(client(documents, key))]
    except Exception as error:
        return [type(error).__name__, str(error)]
