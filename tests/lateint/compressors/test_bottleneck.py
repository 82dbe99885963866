"""PreTTR's bottleneck: its bytes, its rounding, the released graph, and the command line's way to ask for it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lateint.compressors.bottleneck import Bottleneck
from lateint.errors import InputError, SpecError
from lateint.heads.inputs import Candidates
from lateint.indexing.build import build_store
from lateint.indexing.codecs import pipelines
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.model.document import Document
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from tests.support import engine, reference
from tests.support.engine import DOCUMENTS, LENGTHS, QUERY


def load(chosen="bottleneck:width=8", **changes):
    """PreTTR with a fresh compressor, stored as the preset says: float16."""
    return engine.load_model(tiny.checkpoint("bert"), method=replace(preset("prettr"), **changes), compressor=chosen, **LENGTHS)


def test_a_document_takes_two_bytes_a_number_and_token_its_separator_included():
    model = load()
    rows = model.document_tokens(DOCUMENTS[:4])
    for row, entry in zip(rows, model.encode(rows), strict=True):
        words = len(row) - 1  # the document's half of the pair has one special token, the last
        assert len(pipelines(model)["states"].encode(entry["states"])) == 2 * 8 * (words + 1)


def test_stored_codes_come_back_as_the_graph_rounds_them():
    model = load()
    rows = model.document_tokens(DOCUMENTS[3:4])
    with torch.inference_mode():
        codes = model.encode_batch(rows)["states"][0][0]
    through = pipelines(model)["states"]
    back = torch.from_numpy(through.decode(through.encode(model.encode(rows)[0]["states"]), len(codes))).float()
    assert torch.equal(back, codes.half().float()) and not torch.equal(back, codes)


def released(hf, bottleneck, query, document):
    """The released graph: sides apart through layers 0 and 1, the bottleneck at every position, then full attention."""
    places = torch.tensor([*range(len(query)), *range(24, 24 + len(document))])
    side = torch.tensor([0] * len(query) + [1] * len(document))
    states = reference.embed(hf, torch.tensor(query + document), side, places)
    states = reference.run(hf, states, places, side[:, None] == side[None, :], range(2))
    states = bottleneck.norm(bottleneck.up(torch.nn.functional.gelu(bottleneck.down(states))))
    return reference.classify(hf, reference.run(hf, states, places, torch.ones(len(side), len(side)).bool(), range(2, 4)))[0]


def test_at_every_position_it_is_the_released_graph_and_on_documents_alone_it_is_not():
    found = []
    hf = reference.load(tiny.checkpoint("bert"))
    for both_sides in (True, False):
        model = load(part("bottleneck", width=8, both_sides=both_sides))
        rows = model.document_tokens(DOCUMENTS[:6])
        with torch.inference_mode():
            values, mask = model.encode_batch(rows)["states"]
            scores = model.score(model.query(QUERY), Candidates(mask=mask, states=values))
            query = model.query_tokens(QUERY)
            wanted = torch.stack([released(hf, model.compressor, query, row) for row in rows])
        found.append((scores - wanted).abs().max() / max(1.0, float(wanted.max() - wanted.min())))
    assert found[0] <= 1e-5 and found[1] > 1e-3


def test_the_error_of_a_trained_bottleneck_falls_with_its_width():
    generator = torch.Generator().manual_seed(1)
    states = torch.nn.functional.layer_norm(torch.randn(128, 12, generator=generator), (12,))
    errors = []
    for width in (1, 4, 12):
        with torch.random.fork_rng():
            torch.manual_seed(2)
            bottleneck = Bottleneck(12, width=width)
        optimizer = torch.optim.Adam(bottleneck.parameters(), lr=3e-2)
        for _ in range(100):
            loss = (bottleneck.expand(bottleneck.compress(states)) - states).pow(2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        errors.append(loss.item())
    assert errors[0] > 1.2 * errors[1] > 1.2 * errors[2]


def test_half_precision_keeps_the_order_of_a_thousand_candidates_and_one_bit_does_not(tmp_path):
    documents = [Document(str(i), text) for i, text in enumerate(tiny.texts(1000, seed=21, longest=8))]
    orders = {}
    for codec in (part("cast", dtype="float32"), part("cast", dtype="float16"), part("drive", bits=1)):
        with build_store(load(), documents, tmp_path / str(len(orders)), codecs={"states": (codec,)}) as store:
            scores = engine.scores(Ranker(load(), store).rank(QUERY, [document.id for document in documents]))
        orders[str(codec)] = np.argsort(np.argsort([scores[document.id] for document in documents]))
    exact, *others = orders.values()
    half, bit = (np.corrcoef(exact, other)[0, 1] for other in others)
    assert half > 0.999 > bit and len(orders) == 3


@pytest.mark.parametrize("text", ["bottleneck", "bottleneck:128", "bottleneck:width=128", " bottleneck:both_sides=true"])
def test_the_spellings_of_the_default(text):
    model = load(text)
    assert (type(model.compressor), model.compressor.width, model.compressor.both_sides) == (Bottleneck, 128, True)


def test_none_takes_a_compressor_away_and_nothing_said_leaves_it():
    assert load("none", compressor=part("bottleneck")).compressor is None
    assert load(None, compressor=part("bottleneck", width=4)).compressor.width == 4
    assert load(None).compressor is None


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("bottle", InputError, "no compressor is called 'bottle'; there are: aesi, aesi_linear, bottleneck"),
        ("bottleneck:depth=3", InputError, "has no setting 'depth'; it takes: width, both_sides"),
        ("bottleneck:4,8", SpecError, "cannot read setting '8'"),
        ("bottleneck:0", InputError, "width=0; expected a whole number from 1 on"),
        ("bottleneck:1099511627776", InputError, "width=1099511627776; expected at most 65536"),
        ("bottleneck:wide", InputError, "width='wide'"),
        ("projection:4", InputError, "compressor 'projection' cannot map codes back"),
    ],
)
def test_what_cannot_be_a_compressor_here_is_refused(text, error, match):
    with pytest.raises(error, match=match):
        load(text)


@pytest.mark.parametrize(("head", "compressor"), [("maxsim", "bottleneck:4"), ("evidence", "bottleneck:4")])
def test_heads_that_compare_codes_refuse_codes_that_cannot_be_compared(head, compressor):
    with pytest.raises(InputError, match=f"head '{head}' compares codes directly"):
        load(compressor, head=part(head), vector=part("mean"))
    assert load("linear:4", head=part(head), vector=part("mean")).compressor.width == 4


def test_a_checkpoint_keeps_its_compressor_unless_another_is_asked_for(tmp_path):
    model = load("bottleneck:4")
    model.save_pretrained(tmp_path / "saved")
    back = engine.load_model(tmp_path / "saved")
    assert torch.equal(back.compressor.up.weight, model.compressor.up.weight)
    assert engine.load_model(tmp_path / "saved", compressor="none").compressor is None
    assert engine.load_model(tmp_path / "saved", compressor="linear:6").compressor.width == 6
