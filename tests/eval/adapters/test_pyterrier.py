"""PyTerrier's own pipelines, experiments, inspection and artifacts with a lateint ranker."""

import subprocess
import sys
import tarfile
from importlib.metadata import EntryPoint

import numpy as np
import pytest
import torch

from lateint import Ranker
from lateint.errors import InputError, MissingDocument, StoreMismatch, StoreNotFound
from lateint_eval.formats.records import Run, RunEntry
from lateint_eval.measures.metrics import evaluate
from tests.support import engine

pt = pytest.importorskip("pyterrier", reason="the extra `pyterrier` is not installed")
pd = pytest.importorskip("pandas", reason="comes with pyterrier")

from lateint_eval.adapters import pyterrier as adapter  # noqa: E402 (it needs the package)
from lateint_eval.adapters.pyterrier import Reranker, StoreArtifact  # noqa: E402

# PyTerrier 1.1 drops columns in place, which pandas 3.1 reports as deprecated; a caller cannot change that.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame:DeprecationWarning")

ARTIFACT = EntryPoint("forward_index.lateint", f"{adapter.__name__}:StoreArtifact", "pyterrier.artifact")
DETECTOR = EntryPoint("lateint", f"{adapter.__name__}:store_metadata", "pyterrier.artifact.metadata_adapter")


@pytest.fixture(autouse=True)
def no_java():
    yield
    assert not pt.java.started()


@pytest.fixture(scope="module")
def first_stage(toy):
    rows = [(query_id, doc_id, float(-at)) for query_id, ids in toy.candidates.items() for at, doc_id in enumerate(ids)]
    frame = pd.DataFrame(rows, columns=["qid", "docno", "score"])
    frame["query"] = frame["qid"].map(toy.queries)
    frame["text"] = frame["docno"].map(lambda doc_id: toy.documents[doc_id].full_text)
    return pt.model.add_ranks(frame.assign(note=[f"note {at}" for at in range(len(frame))]))


@pytest.fixture(scope="module")
def reranker(toy):
    return Reranker(toy.stored)


def scores(frame):
    return {query_id: dict(zip(rows["docno"], rows["score"])) for query_id, rows in frame.groupby("qid")}


def same(found, expected):
    return found.keys() == expected.keys() and all(engine.close(found[query_id], expected[query_id]) for query_id in expected)


def test_scores_and_order_are_those_of_the_ranker(toy, first_stage, reranker):
    found = reranker(first_stage)
    assert scores(found) == {query_id: toy.scores(query_id) for query_id in toy.candidates}, "bit for bit"
    for query_id, rows in found.groupby("qid"):
        assert list(rows["docno"]) == list(toy.scores(query_id)) and list(rows["rank"]) == list(range(len(rows)))
    assert found["score"].dtype == np.float64 and found["rank"].dtype == np.int64
    assert list(found["docno"]) != list(first_stage["docno"])


def test_texts_of_the_frame_score_as_logits_do(toy, first_stage):
    rows = reversed(first_stage.to_dict("records"))
    found = pd.DataFrame(Reranker(toy.plain).transform_iter(list(rows)))
    pairs = list(zip(found["query"], found["text"]))
    logits = toy.plain.logits(pairs).tolist()
    expected = scores(found.assign(score=logits))
    assert same(scores(found), expected) and len(set(logits)) > len(logits) / 2, "scores spread"
    assert same(scores(found), scores(Reranker(toy.stored)(first_stage)))


def test_queries_stay_in_order_other_columns_stay_and_the_input_is_not_touched(first_stage, reranker):
    shuffled = first_stage.sample(frac=1, random_state=3)
    before = shuffled.copy()
    found = reranker(shuffled)
    pd.testing.assert_frame_equal(shuffled, before)
    assert list(found["qid"].unique()) == list(shuffled["qid"].unique()) != list(first_stage["qid"].unique())
    assert list(found.columns) == ["qid", "docno", "query", "text", "note", "score", "rank"]
    joined = found.merge(first_stage, on=["qid", "docno"])
    assert len(joined) == len(first_stage) and (joined["note_x"] == joined["note_y"]).all()


def test_equal_scores_stand_in_the_order_of_their_ids():
    model = engine.fresh_model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()  # every score is exactly 0; those of equal texts in a batch may differ in the last bits
    rows = [("1", "how is bread", doc_id, "bread and yeast") for doc_id in ("b", "c", "a")]
    found = Reranker(Ranker(model))(pd.DataFrame(rows, columns=["qid", "query", "docno", "text"]))
    assert found["score"].nunique() == 1 and list(found["docno"]) == ["a", "b", "c"] and list(found["rank"]) == [0, 1, 2]


def test_documents_that_the_store_lacks_are_an_error_skipped_or_encoded(toy, first_stage, reranker):
    one = first_stage[first_stage["qid"] == "q-proof"].copy()
    one.loc[one.index[0], "docno"] = "gone"
    with pytest.raises(MissingDocument, match="'gone'"):
        reranker(one)
    skipped, encoded = (Reranker(toy.stored, missing=missing)(one) for missing in ("skip", "encode"))
    assert set(encoded["docno"]) == set(one["docno"]) == {"gone", *skipped["docno"]}
    assert list(skipped["rank"]) == list(range(len(one) - 1))
    expected = toy.plain.logits([(one["query"].iloc[0], one["text"].iloc[0])])[0]
    assert encoded.set_index("docno")["score"]["gone"] == pytest.approx(expected, abs=1e-5)
    with pytest.raises(InputError, match=r"lacks the columns \['text'\]"):
        Reranker(toy.stored, missing="encode")(one.drop(columns="text"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda frame: frame.drop(columns=["docno", "query"]), r"lacks the columns \['query', 'docno'\]; expected .* found"),
        (lambda frame: pd.DataFrame(), r"lacks the columns \['qid', 'query', 'docno'\]"),
        (lambda frame: pd.concat([frame, frame.tail(1)]), "query 'q-\\S+' has document '.+' twice"),
        (lambda frame: frame.assign(qid=range(len(frame))), r"column 'qid' holds 0; expected text .*astype\(str\)"),
        (lambda frame: frame.assign(query=[None, *frame["query"][1:]]), r"column 'query' holds (None|nan); .*fillna\(\"\"\)"),
        (lambda frame: frame.assign(query=[None, *frame["query"][1:]]), "column 'query' holds (None|nan)"),
        (lambda frame: frame.assign(query=["other", *frame["query"][1:]]), "query 'q-proof' has more than one text"),
    ],
)
def test_a_frame_that_cannot_be_ranked_says_why(first_stage, reranker, spoil, words):
    with pytest.raises(InputError, match=words):
        reranker(spoil(first_stage))


def test_pyterrier_can_inspect_it_and_an_empty_frame_passes(toy, reranker):
    assert pt.inspect.transformer_inputs(reranker) == [["qid", "query", "docno"]]
    assert pt.inspect.transformer_inputs(Reranker(toy.plain)) == [["qid", "query", "docno", "text"]]
    columns = ["qid", "rank", "query", "docno", "url", "score"]
    outputs = pt.inspect.transformer_outputs(reranker, columns)
    empty = reranker(pd.DataFrame(columns=columns))
    assert outputs == ["qid", "query", "docno", "url", "score", "rank"] == list(empty.columns) and len(empty) == 0
    with pytest.raises(pt.validate.InputValidationError, match="docno"):
        pt.inspect.transformer_outputs(reranker, ["qid", "query"])


def test_an_experiment_measures_what_our_evaluation_measures(toy, first_stage, reranker):
    given = pt.Transformer.from_df(first_stage)
    topics = pd.DataFrame(toy.queries.items(), columns=["qid", "query"])
    labels = [(query_id, doc_id, label) for query_id, judged in toy.qrels.items() for doc_id, label in judged.items()]
    qrels = pd.DataFrame(labels, columns=["qid", "docno", "label"])
    systems = [given, given >> reranker, given % 5 >> reranker]
    measures = [pt.measures.nDCG @ 10, pt.measures.RR @ 10]
    table = pt.Experiment(systems, topics, qrels, measures, names=["first", "ours", "ours of 5"], validate="error", plan="tree")
    table = table.set_index("name")
    run = Run("ours", {q: [RunEntry(d, 0, s, 0) for d, s in toy.scores(q).items()] for q in toy.candidates})
    ours = evaluate(toy.qrels, run, [str(measure) for measure in measures])
    for name, score in ours.scores.items():
        assert table.loc["ours", name] == pytest.approx(score.mean, abs=1e-12)
        assert table[name].nunique() == 3
    assert "Reranker(prettr)" in str(systems[1])


@pytest.fixture
def registered(monkeypatch):
    """Simulate installed entry points."""
    known, ours = pt.utils.entry_points, (ARTIFACT, DETECTOR)
    monkeypatch.setattr(pt.utils, "entry_points", lambda group: [*known(group), *(e for e in ours if e.group == group)])


def test_a_store_is_an_artifact_that_pyterrier_finds_by_itself(toy, first_stage, reranker, registered):
    artifact = pt.Artifact.load(str(toy.stored.store.path))
    with artifact.store:
        assert type(artifact) is StoreArtifact and pt.inspect.artifact_type_format(artifact) == ("forward_index", "lateint")
        pd.testing.assert_frame_equal(artifact.reranker()(first_stage), reranker(first_stage))
        with pytest.raises(StoreMismatch):
            artifact.reranker(engine.model("mice"))


def test_a_packed_artifact_is_whole_after_the_journey(toy, registered, tmp_path):
    from lz4.frame import LZ4FrameFile

    sender = StoreArtifact.load(toy.stored.store.path)
    with sender.store:
        packed = sender.build_package(str(tmp_path / "packed"), verbose=False)
    with LZ4FrameFile(packed) as plain, tarfile.open(fileobj=plain) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11 has it since 3.11.4
        archive.extractall(tmp_path / "unpacked")
    assert (tmp_path / "unpacked" / "pt_meta.json").is_file()
    arrived = pt.Artifact.load(str(tmp_path / "unpacked"))
    with arrived.store:
        assert arrived.store.verify().ok and set(arrived.store.ids()) == set(toy.documents)


def test_other_folders_are_not_taken_for_stores(registered, tmp_path):
    for text in ("{", "[]", "\xff", '{"format": "another"}'):
        (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
        assert adapter.store_metadata(str(tmp_path), ["manifest.json"]) is None
        with pytest.raises(ValueError, match="No implementation found"):
            pt.Artifact.load(str(tmp_path))
    assert adapter.store_metadata(str(tmp_path / "gone"), []) is None
    with pytest.raises(StoreNotFound):
        StoreArtifact(tmp_path / "gone")


def test_it_imports_and_detects_without_torch_and_without_a_bridge_to_java():
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}; sys.modules['jnius'] = None\n"
        f"import {adapter.__name__} as adapter; adapter.store_metadata('nowhere', ['manifest.json'])\n"
        "print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
