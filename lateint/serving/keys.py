"""API keys: read from a file, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from lateint_store.arguments import as_path
from lateint_store.errors import InputError

_SHORTEST = 8


class ApiKeys:
    """The keys that clients may send as `Authorization: Bearer KEY`. Kept as digests."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    @classmethod
    def read(cls, path: str) -> ApiKeys:
        """Read one key a line; empty lines and lines that begin with # are no keys.

        Raises: InputError for a file that cannot be read, without a key, or with one of fewer than 8 characters.
        """
        try:
            lines = as_path(path, "api_key_file", "the path of a file").read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read the keys in {path}: {error}; expected one key a line") from error
        keys = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        if not keys:
            raise InputError(f"{path} holds no key, so no client could connect; expected one key a line")
        for number, key in enumerate(keys, 1):
            if len(key) < _SHORTEST:
                raise InputError(f"key {number} in {path} has {len(key)} characters; expected at least {_SHORTEST}")
        return cls(keys)

    def accept(self, authorization: str | None) -> bool:
        """Return whether a header `Authorization` has one of the keys. Every key is compared, whichever it equals."""
        scheme, _, key = (authorization or "").partition(" ")
        given = _digest(key.strip())
        found = [hmac.compare_digest(given, digest) for digest in self._digests]
        return scheme.lower() == "bearer" and any(found)


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=32).digest()
