"""cohere 5 (both versions of its interface), LiteLLM (four providers) and openai."""

import cohere
import litellm
import openai
from report import Case, report

case = Case()
litellm.num_retries = 0


def cohere_v2(documents, key):
    with_key = cohere.ClientV2(key, base_url=case.address)
    found = with_key.rerank(model="rerank-v3.5", query=case.query, documents=documents, top_n=len(documents))
    return [(result.index, result.relevance_score) for result in found.results]


def cohere_v1(documents, key):
    with_key = cohere.Client(key, base_url=case.address)
    found = with_key.rerank(model="rerank-english-v3.0", query=case.query, documents=documents, return_documents=True)
    assert [result.document.text for result in found.results] == [documents[result.index] for result in found.results]
    return [(result.index, result.relevance_score) for result in found.results]


def by_litellm(provider, path=""):
    def ask(documents, key):
        found = litellm.rerank(
            model=f"{provider}/any",
            query=case.query,
            documents=documents,
            top_n=len(documents),
            api_base=case.address + path,
            api_key=key,
        )
        return [(result["index"], result["relevance_score"]) for result in found.results]

    return ask


def by_openai(path):
    def ask(documents, key):
        client = openai.OpenAI(base_url=case.address + path, api_key=key, max_retries=0)
        found = client.post("/rerank", body={"model": "any", "query": case.query, "documents": documents}, cast_to=object)
        return [(result["index"], result["relevance_score"]) for result in found["results"]]

    return ask


report(
    case,
    {
        "cohere v2": (cohere_v2, True),
        "cohere v2, ids in texts": (cohere_v2, False),
        "cohere v1": (cohere_v1, False),
        "litellm cohere": (by_litellm("cohere"), True),
        "litellm jina_ai": (by_litellm("jina_ai", "/v1/rerank"), False),
        "litellm hosted_vllm": (by_litellm("hosted_vllm"), True),
        "litellm huggingface": (by_litellm("huggingface"), True),
        "openai": (by_openai(""), True),
        "openai v1": (by_openai("/v1"), True),
    },
)
