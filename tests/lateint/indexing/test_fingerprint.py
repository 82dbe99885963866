"""Which changes of a model invalidate a stored array, tensor by tensor, and which do not."""

import copy
import json
import re
import shutil

import pytest
import torch

from lateint.errors import LateintError, ModelError, StoreMismatch
from lateint.indexing import compatibility
from lateint.indexing.build import build_store, store_layout
from lateint.indexing.fingerprint import ADDED, fingerprint, head_digest
from lateint.indexing.store import Store
from lateint.loading.load import load_model
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.model.digests import digest_json
from lateint.model.model import Model
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from lateint_store import ArraySpec, Pipeline, create_store
from tests.support import engine
from tests.support.engine import DOCUMENTS, LENGTHS, QUERY

COMPRESSED = engine.replace(preset("prettr"), name="compressed", compressor=part("bottleneck", width=8))
BOTH = engine.replace(COMPRESSED, name="both", vector=part("mean"), head=part("cross_blocks", first=2, residual="cosine"))


def named(case):
    return case if isinstance(case, str) else case.name


def build(folder, model):
    return build_store(model, DOCUMENTS[:3], folder / "store")


def stale(model, store):
    """True if this model is rejected for this store."""
    try:
        Ranker(model, store)
    except StoreMismatch as error:
        assert error.exit_code == 3
        return True
    return False


def depth_of(name):
    """The layer number of a tensor; None outside the layers."""
    found = re.search(r"\.layers?\.(\d+)\.", name)
    return int(found[1]) if found else None


def below(name, method, total):
    """True if a stored array depends on the tensor of this name: an independent implementation of the rule."""
    if name.startswith("compressor."):
        return method.compressor is not None and method.compressor.name == "bottleneck" and ".down." in name
    if name.startswith("vector_map."):
        return True
    if not name.startswith("backbone.") or (method.head.name == "joint_layers" and method.depth == 0):
        return False
    if "pooler" in name or "classifier" in name or "pre_classifier" in name or ".model.head." in name:
        return False
    reach = method.depth if method.vector is None else max(method.depth, method.vector_depth)
    layer = depth_of(name)
    if layer is None:
        return "final_norm" not in name or reach == total
    return layer < reach


def cases():
    yield from ((method, "bert") for method in [*engine.METHODS, COMPRESSED, BOTH])
    yield from (("prettr", family) for family in tiny.FAMILIES if family != "bert")
    yield from (("cosine", family) for family in ("modernbert", "electra"))


@pytest.mark.parametrize(("method", "family"), [pytest.param(*case, id=f"{named(case[0])}-{case[1]}") for case in cases()])
def test_one_changed_element_of_any_tensor_is_refused_exactly_if_an_array_passed_through_it(tmp_path, method, family):
    model = engine.fresh_model(method, family)
    total, outcomes = len(model.backbone.layers), set()
    with build(tmp_path, model) as store:
        recorded = store.manifest.head["digest"]
        assert not stale(model, store) and head_digest(model) == recorded
        for name, tensor in model.state_dict().items():
            flat, middle = tensor.view(-1), tensor.numel() // 2
            before = flat[middle].item()
            flat[middle] = before + 0.5
            expected = below(name, model.method, total)
            # A compressor's `up` runs with the query, but counts as stored, because both halves are one part.
            expected = expected or name.startswith("compressor.")
            assert stale(model, store) == expected, name
            assert (head_digest(model) == recorded) == expected, name
            flat[middle] = before
            outcomes.add(expected)
        assert not stale(model, store)
    assert (True in outcomes) == (method != "cross_encoder") and (False in outcomes or method in ("cosine", "hpd"))


def test_the_last_bit_of_one_number_is_enough(tmp_path):
    model = engine.fresh_model()
    with build(tmp_path, model) as store:
        weight = model.backbone.layers[1].feed_forward.down.weight.data.view(-1)
        weight[7] = torch.nextafter(weight[7], torch.tensor(100.0))
        assert stale(model, store)


CHANGES = {
    "dtype": lambda: engine.fresh_model(dtype="bfloat16"),
    "layout": lambda: engine.fresh_model(doc_max_length=40),
    "layout of an offset": lambda: engine.fresh_model(query_max_length=20),
    "layout of restarted positions": lambda: engine.fresh_model(layout(positions="restart")),
    "layout of a segment": lambda: engine.fresh_model(layout(segment=0)),
    "layout of a template": lambda: engine.fresh_model(layout(template="alone", segment=1)),
    "layout of a marker": lambda: engine.fresh_model(layout(marker="[unused1]")),
    "states.layers": lambda: engine.fresh_model(offline_layers=3),
    "states.pool": lambda: engine.fresh_model(engine.replace(preset("prettr"), pool=part("no_punctuation"))),
    "states.weights": lambda: engine.fresh_model(COMPRESSED),
}


def layout(**changes):
    method = preset("prettr")
    return engine.replace(method, document=engine.replace(method.document, **changes))


@pytest.mark.parametrize("change", CHANGES)
def test_every_fact_is_checked_and_both_models_and_digests_are_named(tmp_path, change):
    model, other = engine.fresh_model(), CHANGES[change]()
    other.name = "another"
    with build(tmp_path, model) as store, pytest.raises(StoreMismatch) as caught:
        Ranker(other, store)
    message = str(caught.value)
    for each in (model, other):
        assert f"{each.name} [{digest_json(fingerprint(each))[:12]}]" in message
    assert change.split(" of ")[0] in message and "index again" in message


def test_a_store_without_the_array_that_the_head_reads_is_refused_with_both_names(tmp_path):
    model, other = engine.fresh_model(), engine.fresh_model("cosine")
    with build(tmp_path, model) as store, pytest.raises(StoreMismatch, match="holds no array 'vector'") as caught:
        Ranker(other, store)
    for each in (model, other):
        assert digest_json(fingerprint(each))[:12] in str(caught.value)


def edited_tokenizer(folder, edit):
    """A copy of the tiny BERT with the same weights and a changed tokenizer."""
    shutil.copytree(tiny.checkpoint("bert"), folder)
    data = json.loads((folder / "tokenizer.json").read_text())
    edit(data)
    (folder / "tokenizer.json").write_text(json.dumps(data))
    return load_model(folder, method=engine.lossless(preset("prettr")), **LENGTHS)


def swap(data):
    words = data["model"]["vocab"]
    words["bread"], words["oven"] = words["oven"], words["bread"]


def keep_case(data):
    data["normalizer"] = None


@pytest.mark.parametrize("edit", [swap, keep_case])
def test_another_tokenizer_over_the_same_weights_is_refused(tmp_path, edit):
    same = edited_tokenizer(tmp_path / "same", lambda data: None)
    other = edited_tokenizer(tmp_path / "other", edit)
    with build(tmp_path, engine.fresh_model()) as store:
        assert not stale(same, store)
        with pytest.raises(StoreMismatch, match="tokenizer differ"):
            Ranker(other, store)


def drift(model):
    """Equal weights with another result, as another version of a library could give."""
    for layer in model.backbone.layers:
        layer.attention.norm.eps = layer.feed_forward.norm.eps = 1e-2


@pytest.mark.parametrize("method", ["prettr", "cosine", "colbert"])
def test_the_canary_finds_other_arithmetic_over_equal_weights(tmp_path, method):
    model, other = engine.fresh_model(method), engine.fresh_model(method)
    drift(other)
    with build(tmp_path, model) as store:
        assert fingerprint(other) == fingerprint(model) and not stale(model, store)
        with pytest.raises(StoreMismatch, match=r"no longer computes the (states|vector)"):
            Ranker(other, store)


def test_the_canary_finds_arithmetic_that_gives_no_number(tmp_path, monkeypatch):
    model = engine.fresh_model()
    with build(tmp_path, model) as store:
        encode = Model.encode
        nothing = [{"states": array["states"] * float("nan")} for array in encode(model, model.document_tokens(DOCUMENTS[:3]))]
        monkeypatch.setattr(Model, "encode", lambda self, rows, **_: nothing)
        assert stale(model, store)


def test_another_head_over_the_same_states_is_welcome_and_named(tmp_path):
    with build(tmp_path, engine.fresh_model("prettr")) as store:
        other = engine.fresh_model(engine.replace(preset("prettr"), head=part("cross_blocks", first=2)))
        ranking = Ranker(other, store).rank(QUERY, ["d00", "d01"])
        assert ranking.timing.head == "cross_blocks" and store.info()["head"]["name"] == "joint_layers"
        assert store.info()["head"]["digest"] != head_digest(other)


def test_a_fingerprint_does_not_depend_on_the_folder_or_the_object(tmp_path):
    shutil.copytree(tiny.checkpoint("bert"), tmp_path / "moved")
    moved = load_model(tmp_path / "moved", method=engine.lossless(preset("prettr")), **LENGTHS)
    assert fingerprint(moved) == fingerprint(engine.fresh_model()) == fingerprint(copy.deepcopy(moved))


def hide_a_word(data):
    """A rule for a word that no probe holds."""
    rule = {"type": "Replace", "pattern": {"String": "oven"}, "content": "river"}
    data["normalizer"] = {"type": "Sequence", "normalizers": [rule, data["normalizer"]]}


def add_a_token(data):
    token = {"id": 40, "content": "bread oven", "single_word": False, "lstrip": False, "rstrip": False, "normalized": True}
    data["added_tokens"].append(token | {"special": False})


def reorder(data):
    data["model"] = dict(reversed(data["model"].items()))
    data["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    data["truncation"] = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}


def test_a_tokenizer_rule_that_no_probe_shows_is_refused_and_another_spelling_of_the_file_is_not(tmp_path):
    same = edited_tokenizer(tmp_path / "same", reorder)
    with build(tmp_path, engine.fresh_model()) as store:
        assert not stale(same, store)
        for edit in (hide_a_word, add_a_token):
            with pytest.raises(StoreMismatch, match="token_rules"):
                Ranker(edited_tokenizer(tmp_path / edit.__name__, edit), store)


SKIPPED = ("dropout", "label", "classifier", "eos", "bos", "sep_", "cls_", "initializer", "vocab_size", "num_hidden_layers")


def other(value):
    """Another value of the same type."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return 2 * value or 1
    if isinstance(value, float):
        return 4 * value or 0.5
    if isinstance(value, str):
        return {"gelu": "relu"}.get(value, "other")
    return value[::-1] if isinstance(value, list) else {key: other(one) for key, one in value.items() if key != "rope_type"}


@pytest.mark.parametrize("family", ["distilbert", "modernbert", "roberta"])
def test_every_value_of_the_configuration_moves_no_array_or_is_refused(tmp_path, family):
    options = {"query_max_length": 16, "doc_max_length": 80, "offline_layers": 3}
    shutil.copytree(tiny.checkpoint(family), tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    whole = json.loads(file.read_text())
    text = " ".join(tiny.texts(12, seed=5))
    refused = set()

    def states():
        model = load_model(tmp_path / "model", "mice", **options)
        return model, model.encode(model.document_tokens([engine.Document("0", text)]))[0]["states"]

    model, before = states()
    assert len(before) == 80
    with build_store(model, [text], tmp_path / "store") as store:
        for name in (name for name in whole if not any(part in name for part in SKIPPED)):
            file.write_text(json.dumps(whole | {name: other(whole[name])}))
            try:
                changed, after = states()
            except LateintError:
                refused.add(name)  # shapes that do not fit the weights
                continue
            if stale(changed, store):
                refused.add(name)
            else:
                assert after.shape == before.shape and abs(after - before).max() <= 1e-5, name
    assert refused >= set(model.backbone.settings) and "tie_word_embeddings" not in refused


def test_a_store_of_an_earlier_version_is_judged_by_the_facts_that_it_holds(tmp_path, monkeypatch):
    model = engine.fresh_model(COMPRESSED)
    facts = {name: fact for name, fact in fingerprint(model).items() if name not in ADDED}
    assert len(facts) == len(fingerprint(model)) - 3
    monkeypatch.setattr(compatibility, "fingerprint", lambda _: dict(facts))
    build(tmp_path, model).close()
    monkeypatch.undo()
    with build_store(model, DOCUMENTS[:5], tmp_path / "store") as store:  # the build continues
        assert dict(store.manifest.fingerprint) == facts and len(store) == 5 and not stale(model, store)
        assert stale(engine.fresh_model(), store)


def test_arrays_of_another_shape_under_the_right_facts_are_refused_before_they_are_read(tmp_path):
    model = engine.fresh_model(BOTH)
    through, about = store_layout(model, None, None)
    wrong = {
        "states": [ArraySpec("float32", 4), ArraySpec("uint8", 8), ArraySpec("float32", 8, rows="one")],
        "vector": [ArraySpec("float32", 16, rows="one"), ArraySpec("float32", 32)],
    }
    for name, specs in wrong.items():
        for number, spec in enumerate(specs):
            held = through | {name: Pipeline(spec)}
            refusal = pytest.raises(StoreMismatch, match=f"array {name!r} has another shape: expected float32, ")
            with create_store(tmp_path / f"{name}{number}", held, kind=Store, **about) as store, refusal:
                Ranker(model, store)
    halves = through | {"states": Pipeline(ArraySpec("float16", 8))}
    with create_store(tmp_path / "float16", halves, kind=Store, **about) as store:
        assert not stale(model, store)


def test_a_model_that_overflows_float16_is_refused_before_a_store_is_made(tmp_path):
    model = engine.fresh_model("mice", dtype="float16")
    with torch.no_grad():
        for layer in model.backbone.layers:
            layer.feed_forward.down.weight.mul_(60_000)
    with pytest.raises(
        ModelError, match=r"computes states of (nan|inf) .* in torch\.float16, before any codec: load it with dtype"
    ):
        build(tmp_path, model)
    assert not (tmp_path / "store").exists()
