"""The last change of a store set that touches several members, so that the same call can complete it after an interruption."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from lateint_store.disk.files import replace_file

CHANGE_FILE = "change.json"


@dataclass(frozen=True, slots=True)
class SetChange:
    """A deletion, by the note that the same call gives again. `content_digest`: that of the set after it; None until then."""

    note: str
    content_digest: str | None = None

    def write(self, folder: Path) -> None:
        """Record it, durably. Raises: StoreError, StoreFull."""
        replace_file(folder / CHANGE_FILE, json.dumps(asdict(self)).encode())


def last_change(folder: Path) -> SetChange | None:
    """The change that is recorded in the folder of a set; None without one, or if it cannot be read."""
    try:
        return SetChange(**json.loads((folder / CHANGE_FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
