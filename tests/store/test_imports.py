import subprocess
import sys

from tests.support.paths import ROOT
from tests.support.stores import build

HEAVY = ("torch", "transformers", "numba", "scipy", "tqdm", "click", "lateint", "lateint_eval")


def test_opening_a_store_imports_nothing_heavy(tmp_path):
    build(tmp_path / "s", 3).close()
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import lateint_store\n"
        "with lateint_store.open_store(sys.argv[2]) as store: store.info(); store.get(['doc1'])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(ROOT / "store"), str(tmp_path / "s")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "[]"
