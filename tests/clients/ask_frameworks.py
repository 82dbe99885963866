"""LangChain, LlamaIndex and Haystack: they send texts alone, so ids go as texts with a prefix."""

import os

os.environ.setdefault("COHERE_API_KEY", "unused")

from haystack import Document
from haystack.utils import Secret
from haystack_integrations.components.rankers.cohere import CohereRanker
from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker
from langchain_cohere import CohereRerank
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.postprocessor.cohere_rerank import CohereRerank as LlamaCohere
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference
from report import Case, report

case = Case()


def langchain(documents, key):
    ranker = CohereRerank(model="any", cohere_api_key=key, base_url=case.address, top_n=len(documents))
    return [(found["index"], found["relevance_score"]) for found in ranker.rerank(documents, case.query)]


def by_llama_index(make):
    def ask(documents, key):
        nodes = [NodeWithScore(node=TextNode(text=text, id_=str(index))) for index, text in enumerate(documents)]
        found = make(documents, key).postprocess_nodes(nodes, QueryBundle(case.query))
        return [(int(node.node.node_id), node.score) for node in found]

    return ask


def by_haystack(make):
    def ask(documents, key):
        given = [Document(id=str(index), content=text) for index, text in enumerate(documents)]
        ranker = make(documents, Secret.from_token(key))
        ranker.warm_up()
        return [(int(found.id), found.score) for found in ranker.run(query=case.query, documents=given)["documents"]]

    return ask


def llama_cohere(documents, key):
    return LlamaCohere(top_n=len(documents), model="any", api_key=key, base_url=case.address, max_retries=1)


def llama_tei(documents, key):
    return TextEmbeddingInference(top_n=len(documents), base_url=case.address, auth_token=f"Bearer {key}")


def haystack_cohere(documents, key):
    return CohereRanker(model="any", top_k=len(documents), api_key=key, api_base_url=case.address)


def haystack_tei(documents, key):
    return HuggingFaceTEIRanker(url=case.address, top_k=len(documents), token=key, max_retries=0)


report(
    case,
    {
        "langchain-cohere": (langchain, False),
        "llama-index cohere": (by_llama_index(llama_cohere), False),
        "llama-index tei": (by_llama_index(llama_tei), False),
        "haystack cohere": (by_haystack(haystack_cohere), False),
        "haystack tei": (by_haystack(haystack_tei), False),
    },
)
