"""Pads after a document move neither its score nor, by itself, any CLS row that the score is read from."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from lateint.heads.inputs import Candidates
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.testing import tiny
from tests.support import engine
from tests.support.engine import METHODS, QUERY

PADS = 7
DOCUMENTS = [document for document in engine.DOCUMENTS if len(document.text.split()) > 5][:4]
ROWS = [method for method in METHODS if preset(method).vector is None]
MATCHES = replace(preset("deformer"), name="matches", head=part("joint_layers", readout="matches"))
MEAN = replace(
    preset("mice"), name="mean", head=part("cross_blocks", blocks=3, first="T/3", order="self_then_cross", readout="mean")
)
BLIND = [("deformer", "modernbert"), ("dc_bert", "modernbert")]  # one joint layer, and that one looks at near rows alone
OURS = [(method, family) for method in (MATCHES, MEAN) for family in ("bert", "modernbert")]
CASES = [*((method, family) for method in ROWS for family in tiny.FAMILIES), *OURS]


def named(case):
    return case if isinstance(case, str) else case.name


def padded(docs, *, masked=True):
    """The same candidates with rows of noise appended, hidden by the mask or not."""
    rows = docs.token_ids if docs.states is None else docs.states
    real = torch.ones(rows.shape[:2], dtype=torch.bool) if docs.mask is None else docs.mask
    states = docs.states
    if states is not None:
        noise = 3 * torch.randn(len(states), PADS, states.shape[-1], generator=torch.Generator().manual_seed(6))
        states = torch.cat([states, noise], dim=1)
    ids = None if docs.token_ids is None else F.pad(docs.token_ids, (0, PADS), value=5)
    return replace(docs, states=states, token_ids=ids, mask=F.pad(real, (0, PADS), value=not masked))


def candidates(model):
    arrays = model.encode_batch(model.document_tokens(DOCUMENTS))
    mask = next(mask for name, (_, mask) in arrays.items() if name != "vector")
    return Candidates(mask=mask, **{name: values for name, (values, _) in arrays.items()})


def cls_rows(model, query, docs):
    """The rows that the score is read from, by themselves: after every block, or what the readout is given."""
    head, seen = model.head, []
    if hasattr(head, "cls"):
        return [head.cls(query, docs)]
    modules = head.blocks if hasattr(head, "blocks") else [head.readout]
    for module in modules:
        hook = module.register_forward_hook(lambda _module, inputs, out: seen.append((inputs, out)))
        model.score(query, docs)
        hook.remove()
    if hasattr(head, "blocks"):
        return [out.states[:, 0] for _, out in seen]
    return [inputs[0] for inputs, _ in seen]


def apart(left, right):
    return float((left - right).abs().max())


@pytest.mark.parametrize(("method", "family"), CASES, ids=named)
def test_appended_pads_move_no_score_and_would_without_their_mask(method, family):
    model = engine.model(method, family)
    with torch.inference_mode():
        query, docs = model.query(QUERY), candidates(model)
        wanted = model.score(query, docs)
        limit = 1e-5 * max(1.0, float(wanted.max() - wanted.min()))
        assert apart(model.score(query, padded(docs)), wanted) <= limit
        unmasked = apart(model.score(query, padded(docs, masked=False)), wanted)
        assert (unmasked <= limit) if (method, family) in BLIND else (unmasked > 10 * limit)


@pytest.mark.parametrize(("method", "family"), [(m, f) for m in ROWS if m != "colbert" for f in tiny.FAMILIES])
def test_every_cls_row_by_itself_stays_where_it_is(method, family):
    model = engine.model(method, family)
    with torch.inference_mode():
        query, docs = model.query(QUERY), candidates(model)
        plain, with_pads, unmasked = (cls_rows(model, query, d) for d in (docs, padded(docs), padded(docs, masked=False)))
    assert plain and max(map(apart, with_pads, plain)) <= 1e-4
    moved = min(map(apart, unmasked, plain))
    assert (moved <= 1e-4) if (method, family) in BLIND else (moved > 1e-3)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_pad_at_the_position_of_a_query_token_is_not_seen_by_it(family):
    """Where a document's positions begin anew, the pads of a short one stand at positions that the query uses too."""
    model = engine.model(MATCHES, family)
    short = engine.Document("short", "bread")
    with torch.inference_mode():
        query = model.query(engine.LONG[1].text[:60])
        arrays = model.encode_batch(model.document_tokens([short]))
        docs = Candidates(mask=arrays["states"][1], states=arrays["states"][0])
        assert query.rows.states.shape[1] > docs.states.shape[1] + PADS
        wanted = model.score(query, docs)
        assert apart(model.score(query, padded(docs)), wanted) <= 1e-4
        assert apart(model.score(query, padded(docs, masked=False)), wanted) > 1e-2
