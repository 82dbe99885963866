"""Similarities are computed in float32 under autocast."""

import torch
from torch.nn import functional as F

from lateint.heads._matches import Matches, max_similarities
from lateint.heads.maxsim import maxsim


def test_autocast_does_not_reach_similarities():
    torch.manual_seed(0)
    query, docs = torch.randn(5, 32), torch.randn(3, 7, 32)
    words = torch.ones(5, dtype=torch.bool)
    matches = Matches(32)
    given = query.expand(3, -1, -1), words, docs, None
    with torch.no_grad():
        plain = max_similarities(query, docs, None), maxsim(query, docs, None), matches(*given)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = max_similarities(query, docs, None), maxsim(query, docs, None), matches(*given)
            rounded = (docs @ query.T).amax(dim=1).sum(dim=1)
    assert all(torch.equal(a, b) and b.dtype == torch.float32 for a, b in zip(plain, mixed, strict=True))
    assert not torch.equal(rounded.float(), plain[1])  # what autocast would have done
    assert F.cosine_similarity(rounded.float(), plain[1], dim=0) > 0.99
