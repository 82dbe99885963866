"""What does it cost to rank over several machines? 1,000 candidates by owners on nodes of Ray, against one local `Ranker`.

All nodes are processes of this machine and share its cores, so nothing gets faster here, and there is no network. Every round
measures, in turn and with the same queries:
- local: milliseconds of `Ranker.rank` over the store that the set was split from;
- scattered: milliseconds of `ClusterRanker.rank` by the owners of the set;
- overhead: milliseconds of the same calls that were spent outside the slowest owner: grouping, calls, waiting, joining.
Numerator of `ratio`: scattered; denominator: local, of the same round.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lateint
import lateint_store
from benchmarks import _harness
from lateint.cluster.connection import connected
from lateint.cluster.messages import OwnerSetup
from lateint.cluster.ranker import ClusterRanker
from lateint.cluster.set_ranking import SetRanking


def scatter_gather(
    model: str, candidates: int = 1_000, members: int = 2, rounds: int = 5, calls: int = 16, *, engine: str = "ray"
) -> dict[str, Any]:
    """Measure in turn; medians in milliseconds. Connects to `engine` unless this process is connected already."""
    documents, questions = _harness.library_documents(candidates), _harness.library_questions()[:calls]
    ids = [document.id for document in documents]
    loaded = lateint.load_model(model, threads=1)
    with tempfile.TemporaryDirectory() as name, connected(engine):
        from lateint.cluster.ray_owners import RayLauncher

        folder = Path(name)
        setup = split_store(loaded, documents, folder, members)
        with (
            lateint.open_store(folder / "store") as store,
            ClusterRanker(RayLauncher(setup), setup, tell=print) as cluster,
        ):
            ranker = lateint.Ranker(loaded, store)
            ranker.warm_up(questions[0], ids)
            check(ranker.rank(questions[0], ids), cluster.rank(questions[0], ids))
            found = _harness.alternate(
                {
                    "local": lambda: [ranker.rank(question, ids) for question in questions],
                    "scattered": lambda: [cluster.rank(question, ids) for question in questions],
                },
                rounds,
            )
    return summary(found["local"], found["scattered"]) | {"candidates": candidates, "members": members, "model": loaded.name}


def split_store(model: lateint.Model, documents: Sequence[lateint.Document], folder: Path, members: int) -> OwnerSetup:
    """Build a store, split it by id, and seal the set."""
    lateint.build_store(model, documents, folder / "store").close()
    lateint_store.split(folder / "store", folder / "set", members)
    with lateint.open_store(folder / "set", write=True) as store:
        store.seal()
    return OwnerSetup(store=str(folder / "set"))


def check(local: lateint.Ranking, scattered: SetRanking) -> None:
    """See that both rank alike. Raises: SystemExit."""
    ours, theirs = ({hit.doc_id: hit.score for hit in ranking} for ranking in (scattered, local))
    spread = max(theirs.values()) - min(theirs.values())
    apart = max((abs(ours.get(doc_id, float("inf")) - score) for doc_id, score in theirs.items()), default=0.0)
    if scattered.failures or apart > 1e-5 * max(1.0, spread):
        raise SystemExit(f"owners score up to {apart} apart from one store: {scattered.failures[:1]}")


def summary(local: Sequence[Sequence[lateint.Ranking]], scattered: Sequence[Sequence[SetRanking]]) -> dict[str, Any]:
    """Medians of all rounds."""
    alone, spread = (
        [statistics.median(each.timing.total_ms for each in calls) for calls in rounds] for rounds in (local, scattered)
    )
    return {
        "local_ms": statistics.median(alone),
        "scattered_ms": statistics.median(spread),
        "overhead_ms": statistics.median(outside(each) for calls in scattered for each in calls),
        "ratio": _harness.median_ratio(spread, alone),
    }


def outside(ranking: SetRanking) -> float:
    """Milliseconds of a call that no owner worked in."""
    timing = ranking.timing
    return timing.total_ms - timing.fetch_ms - timing.decode_ms - timing.compute_ms


def main() -> None:
    parser = _harness.argument_parser(__doc__)
    parser.add_argument("--model", default=None, help="default: the checkpoint that ships")
    parser.add_argument("--engine", default="ray", help="as lateint serve takes it")
    parser.add_argument("--candidates", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    model = options.model or "default"
    print(scatter_gather(model, options.candidates, rounds=options.rounds, engine=options.engine))


if __name__ == "__main__":
    main()
