"""Write the golden files of codecs that have none: `python -m tests.store.codecs.write_golden`. Never rewrites one."""

from __future__ import annotations

import json
from pathlib import Path

from lateint_store import Pipeline, known_codecs
from tests.support.codec_cases import example, settings

FOLDER = Path(__file__).resolve().parents[1] / "golden"


def golden(name: str) -> list[dict[str, object]]:
    """One case per setting and spec: the input, the encoded bytes, the decoded array."""
    cases: list[dict[str, object]] = []
    for chosen, specs in settings(name):
        for spec in specs:
            pipeline = Pipeline(spec, (chosen,))
            array = example(spec, 3)
            encoded = pipeline.encode(array)
            decoded = pipeline.decode(encoded, 3)
            cases.append(
                {"pipeline": pipeline.to_json(), "rows": 3, "input": array.tobytes().hex(), "encoded": encoded.hex(),
                 "decoded": decoded.tobytes().hex(), "dtype": str(decoded.dtype)}
            )  # fmt: skip
    return cases


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for codec in known_codecs():
        path = FOLDER / f"{codec}.json"
        if not path.exists():
            path.write_text(json.dumps(golden(codec), indent=1) + "\n")
