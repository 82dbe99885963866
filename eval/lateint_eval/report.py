"""The results page: every finished checkpoint on every set, measured once, rendered from stored JSON."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lateint_eval.datasets.folder import Split, read_split, sampled_queries
from lateint_eval.significance import compare
from lateint_eval.systems import Outcome, System, cached, cosine, measure, without_codecs

if TYPE_CHECKING:
    from lateint.model import Document, Model
    from lateint.store import Store

GRADED = ("nDCG@10", "RR(rel=2)@10")
BINARY = ("nDCG@10", "RR@10")


@dataclass(frozen=True, slots=True)
class Task:
    """A set to evaluate on: `test` sets are run once per checkpoint and never used to choose."""

    name: str
    split: Split
    measures: tuple[str, str]
    test: bool


def tasks(data: Path, depth: int = 50) -> list[Task]:
    """The sets of the evaluation protocol: fixed samples of queries, the same candidates for every system."""
    found = []
    for name, split in (("squad", "dev"), ("squad", "test"), ("medquad", "test")):
        chosen = read_split(data / name, split).only(sampled_queries(name, split), depth)
        found.append(Task(f"{name} {split}", chosen, BINARY, test=split == "test"))
    pool = read_split(data / "msmarco-dl21", "dev", run="firststage.bm25.top100.trec.gz")
    found.append(Task("msmarco-dl21 dev", pool.only(sorted(pool.candidates), 100), GRADED, test=False))
    official = read_split(
        data / "msmarco-dl19", "test", run="firststage.bm25.top100.trec.gz", qrels="official.full.trec.gz"
    )
    found.append(Task("msmarco-dl19", official.only(sorted(official.candidates), 100), GRADED, test=True))
    return found


def demo_task(split: str) -> Task:
    """The demo's questions over the standard library's documentation, BM25's top 20."""
    from lateint_eval.datasets.stdlib import build_passages
    from lateint_eval.datasets.stdlib_questions import load_questions
    from lateint_eval.firststage import Bm25
    from lateint_eval.formats import Doc

    corpus = {p.id: Doc(p.id, p.title, p.text, 0) for p in build_passages()}
    questions = load_questions(split, corpus)  # type: ignore[arg-type]
    first = Bm25(list(corpus), [doc.full_text for doc in corpus.values()])
    lists = {q.id: first.search(q.text, 20) for q in questions.kept}
    split_data = Split(
        f"demo {split}",
        {q.id: q.text for q in questions.kept},
        questions.qrels,
        {key: [doc_id for doc_id, _ in pairs] for key, pairs in lists.items()},
        {key: [score for _, score in pairs] for key, pairs in lists.items()},
        corpus,
    )
    return Task(f"demo {split}", split_data, BINARY, test=split == "test")


def evaluate_task(model: Model, task: Task) -> dict[str, Any]:
    """BM25, base cosine, full and cached model on one set: means, and 95 % intervals of the paired differences."""
    from lateint.model import Document

    split = task.split
    wanted = sorted({doc_id for ids in split.candidates.values() for doc_id in ids})
    corpus = [Document(i, split.documents[i].text, split.documents[i].title) for i in wanted]
    given = {split.queries[q]: list(zip(ids, split.scores[q], strict=True)) for q, ids in split.candidates.items()}
    qrels = {q: split.qrels[q] for q in split.queries}
    with tempfile.TemporaryDirectory() as folder:
        packed, plain = _stores(model, corpus, Path(folder))
        with packed, plain:
            systems = [
                System("bm25", lambda text, _: given[text]),
                cosine(model, packed),
                replace(cached(without_codecs(model), plain), name="full"),
                cached(model, packed),
            ]
            outcomes = [measure(system, split.queries, split.candidates, qrels, task.measures) for system in systems]
    head = {"set": task.name, "queries": len(split.queries), "documents": len(corpus), "test": task.test}
    return head | _rows(outcomes, task.measures)


def _stores(model: Model, corpus: Sequence[Document], folder: Path) -> tuple[Store, Store]:
    """One encoding pass into two stores: through the model's codecs, and without any."""
    from lateint.compatible import describe
    from lateint.encode import WINDOW, encode_window
    from lateint.entries import pipelines
    from lateint.store import Store
    from lateint_store import create_store

    twins = {"packed": model, "plain": without_codecs(model)}
    stores = {
        name: create_store(folder / name, pipelines(twin), kind=Store, **describe(twin)) for name, twin in twins.items()
    }
    for start in range(0, len(corpus), WINDOW):
        window = encode_window(model, list(corpus[start : start + WINDOW]), start)
        for store in stores.values():
            store.append(window.entries, source_end=start + len(window.entries), source_digest="")
    return stores["packed"], stores["plain"]


def _rows(outcomes: Sequence[Outcome], measures: Sequence[str]) -> dict[str, Any]:
    main = measures[0]
    values = {o.system.name: o.evaluation.scores[main].per_query for o in outcomes}
    rows: dict[str, dict[str, Any]] = {}
    for outcome in outcomes:
        name = outcome.system.name
        rows[name] = {m: outcome.evaluation.scores[m].mean for m in measures}
        rows[name] |= {"ms_p50": outcome.percentile(0.5), "bytes_per_document": outcome.system.bytes_per_document}
        for other in ("bm25", "cosine", "full"):
            if name == "cached" and other != name:
                found = compare(values[name], values[other])
                rows[name][f"minus_{other}"] = [found.difference, found.low, found.high]
    return {"measures": list(measures), "systems": rows}


def render(results: Sequence[Mapping[str, Any]]) -> str:
    """docs/results.md from stored results, newest last."""
    lines = [
        "# Results",
        "",
        "Generated by `make report` from `benchmarks/results/report/*.json`; do not edit. Protocol: `eval/README.md`.",
        "Every system re-ranks the same candidates. `full` is the same checkpoint over float32 states that passed no",
        "codec; `cached` reads them from a store, through the checkpoint's codecs. Intervals are 95 % paired bootstrap",
        "over queries.",
        f"Test sets were run once per checkpoint; checkpoints run so far: {len(results)}.",
    ]
    for result in results:
        lines += [
            "",
            f"## `{result['checkpoint']}` [{result['digest'][:12]}]",
            "",
            f"Command: `{result['command']}`; {result['machine']}.",
            "",
        ]
        lines += _table(result["tasks"])
    return "\n".join(lines) + "\n"


def _table(found: Sequence[Mapping[str, Any]]) -> list[str]:
    head = [
        "set",
        "n",
        "measure",
        "BM25",
        "cosine",
        "full",
        "cached",
        "cached - BM25",
        "cached - cosine",
        "cached - full",
        "bytes/doc",
    ]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for task in found:
        systems = task["systems"]
        for place, name in enumerate(task["measures"]):
            cells = [f"{task['set']}{' (test)' if task['test'] else ''}", str(task["queries"]), name]
            cells += [f"{systems[s][name]:.4f}" for s in ("bm25", "cosine", "full", "cached")]
            cells += [
                _interval(systems["cached"][f"minus_{s}"]) if place == 0 else "" for s in ("bm25", "cosine", "full")
            ]
            cells.append(f"{systems['cached']['bytes_per_document']:,.0f}" if place == 0 else "")
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def _interval(values: Sequence[float]) -> str:
    return f"{values[0]:+.4f} [{values[1]:+.4f}, {values[2]:+.4f}]"
