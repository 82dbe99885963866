import random
import re

import pytest

from lateint_eval.formats import read_qrels, read_run
from lateint_eval.measures.msmarco import compatible, strict
from lateint_store.errors import FormatError, InputError
from tests.support import official


@pytest.fixture
def files(tmp_path):
    def write(qrels_text, run_text):
        (tmp_path / "qrels.tsv").write_text(qrels_text)
        (tmp_path / "run.tsv").write_text(run_text)
        return read_qrels(tmp_path / "qrels.tsv"), read_run(tmp_path / "run.tsv")

    return write


def table(rows):
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


def quirky_pair(generator):
    """Return random qrels and a run with all irregularities that the official script handles, in random frequency."""
    odd = generator.choice([0.0, 0.0, 0.02, 0.1, 0.3])
    fatal = generator.random() < 0.08
    labels = [1, 1, 1, 0] if generator.random() < 0.5 else [1]
    queries = generator.sample(range(50), generator.randint(1, 8))
    judged = {(q, p) for q in queries for p in generator.sample(range(25), generator.randint(1, 3))}
    lines = []
    unjudged = generator.sample(range(50, 60), generator.randint(0, 2))
    for query in [q for q in queries if generator.random() < 0.8] + unjudged:
        depth = generator.randint(1, 14)
        for rank, pid in enumerate(generator.sample(range(25), depth), start=1):
            if generator.random() < odd:
                rank = generator.choice([0, 0, rank + 1, rank + 30, -3, -998, 1000])
            if fatal and generator.random() < 0.1:
                rank = generator.choice([1001, 5000, -1000])
            if generator.random() < odd:
                pid = generator.choice([0, pid + 1])
            lines.append((query, pid, rank))
    if generator.random() < 0.3:
        generator.shuffle(lines)
    return [(q, 0, p, generator.choice(labels)) for q, p in sorted(judged)], lines or [(99, 1, 1)]


def strict_model(qrels, run):
    """A second implementation of the strict mode: an error, or the mean over judged queries with labels >= 1."""
    ranks, pids = [(q, r) for q, _, r in run], [(q, p) for q, p, _ in run]
    if any(not 1 <= r <= 1000 for _, _, r in run) or len(set(ranks)) < len(ranks) or len(set(pids)) < len(pids):
        return FormatError
    judged = {q for q, _, _, _ in qrels}
    if not judged & {q for q, _, _ in run}:
        return InputError
    positive = {(q, p) for q, _, p, label in qrels if label >= 1}
    best = {q: min((r for w, p, r in run if w == q and r <= 10 and (q, p) in positive), default=None) for q in judged}
    return sum(1 / rank for rank in best.values() if rank) / len(judged)


def test_three_hundred_quirky_pairs_against_the_models(files):
    generator = random.Random(2026)
    seen = {"rejected": 0, "complaint": 0, "strict error": 0, "strict value": 0, "warned": 0}
    for _ in range(300):
        qrels, run = quirky_pair(generator)
        ours = files(table(qrels), table(run))
        seen[check_compatible(table(qrels), table(run), ours)] += 1
        expected = strict_model(qrels, run)
        if isinstance(expected, float):
            seen["strict value"] += 1
            assert strict(*ours).mrr == pytest.approx(expected, abs=1e-12)
        else:
            seen["strict error"] += 1
            with pytest.raises(expected):
                strict(*ours)
    assert min(seen.values()) >= 10, f"the generator does not reach every case: {seen}"


def check_compatible(qrels_text, run_text, ours):
    try:
        lines, repeated = official.score(qrels_text, run_text)
    except official.Rejected:
        with pytest.raises(InputError):
            compatible(*ours)
        return "rejected"
    result = compatible(*ours)
    printed = result.official_text().splitlines()
    if not repeated:
        assert printed == lines
        return "warned"
    complaint, pid = printed[0].split(", PID=")
    assert [complaint, *printed[1:]] == lines
    assert int(pid) in repeated[int(re.search(r"QID=(\d+)", complaint)[1])], "the PID named is one that repeats"
    return "complaint"


def test_plain_pair_prints_the_official_bytes(files):
    result = compatible(*files("1\t0\t7\t1\n2\t0\t8\t1\n3\t0\t9\t1\n", "1\t5\t1\n1\t6\t2\n1\t7\t3\n2\t8\t1\n"))
    bar = "#####################"
    assert result.official_text() == f"{bar}\nMRR @10: 0.4444444444444444\nQueriesRanked: 2\n{bar}\n"
    assert result.warnings == () and result.judged == 3
    assert compatible(*files("1\t0\t7\t1\n", "1\t5\t1\n")).official_text().splitlines()[1] == "MRR @10: 0.0"


# The rows of the table in eval/README.md: qrels, run, compatible MRR, part of its warning, strict MRR or error.
TABLE = [
    ("missing query", "1\t0\t7\t1\n2\t0\t8\t1\n", "1\t7\t1\n", 0.5, None, 0.5),
    ("unjudged query", "1\t0\t7\t1\n", "1\t7\t1\n5\t7\t1\n", 1.0, "1 queries are not judged", 1.0),
    ("label 0", "1\t0\t7\t0\n", "1\t7\t1\n", 1.0, "label below 1", 0.0),
    ("rank 0", "1\t0\t7\t1\n", "1\t7\t0\n1\t8\t1\n", 0.0, "rank below 1", "rank 0; expected 1..1000 .PyTerrier"),
    ("rank 1001", "1\t0\t7\t1\n", "1\t7\t1001\n", "rank 1001", None, "rank 1001"),
    ("negative rank", "1\t0\t7\t1\n", "1\t7\t-999\n", 1.0, "rank below 1", "rank -999"),
    ("equal ranks", "1\t0\t7\t1\n", "1\t7\t1\n1\t8\t1\n", 0.0, "the last one wins", "rank 1 occurs twice"),
    ("same pid twice", "1\t0\t7\t1\n", "1\t7\t2\n1\t7\t3\n", 0.5, None, "'7' of this query is already in line 1"),
    ("pid 0 not ranked", "1\t0\t0\t1\n", "1\t7\t1\n", 0.5, "count as passage 0", 0.0),
    ("pid 0 ranked", "1\t0\t0\t1\n", "1\t0\t1\n", 1.0, None, 1.0),
    ("no judged query", "1\t0\t7\t1\n", "2\t7\t1\n", "no query of the run", None, "no query of the run"),
    ("ids that are no integers", "q\t0\ta\t1\n", "q\tb\t1\nq\ta\t2\n", 0.5, None, 0.5),
    ("blanks and empty lines", "1 0 7 1\n\n", "1 7 1\n\n", 1.0, None, 1.0),
    ("ids as integers", "01\t0\t7\t1\n", "1\t007\t1\n", 1.0, None, "no query of the run is judged"),
]


@pytest.mark.parametrize(("name", "qrels", "run", "loose", "warning", "firm"), TABLE, ids=[row[0] for row in TABLE])
def test_table_of_quirks(files, name, qrels, run, loose, warning, firm):
    ours = files(qrels, run)
    if isinstance(loose, str):
        with pytest.raises(InputError, match=loose):
            compatible(*ours)
    else:
        result = compatible(*ours)
        assert result.mrr == loose
        assert len(result.warnings) == (warning is not None) and (warning or "") in "".join(result.warnings)
    if isinstance(firm, str):
        with pytest.raises(InputError, match=firm):
            strict(*ours)
    else:
        assert strict(*ours).mrr == firm


def test_strict_error_names_the_line(files):
    with pytest.raises(FormatError) as caught:
        strict(*files("1\t0\t7\t1\n", "1\t7\t1\n1\t8\t2\n1\t9\t0\n"))
    assert caught.value.line == 3


def test_a_trec_run_is_scored_by_its_rank_column(files):
    qrels, run = files("1\t0\t7\t1\n", "1 Q0 7 2 9.0 x\n1 Q0 8 1 0.5 x\n")
    assert compatible(qrels, run).mrr == strict(qrels, run).mrr == 0.5
