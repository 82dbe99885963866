"""The newest cohere."""

import cohere
from report import Case, report

case = Case()


def cohere_v2(documents, key):
    with_key = cohere.ClientV2(key, base_url=case.address)
    found = with_key.rerank(model="rerank-v3.5", query=case.query, documents=documents, top_n=len(documents))
    return [(result.index, result.relevance_score) for result in found.results]


report(case, {"cohere v2": (cohere_v2, True), "cohere v2, ids in texts": (cohere_v2, False)})
