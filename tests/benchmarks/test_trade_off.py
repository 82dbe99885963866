"""Parsing of the rows of `benchmarks/quality/trade_off.py`."""

from benchmarks.quality.trade_off import TradeOffRow as row


def test_a_checkpoint_alone():
    assert (row("latent").name, row("latent").codecs, row("latent").ladder(1_000)) == ("latent", None, None)
    assert row("latent").systems == [row("latent")] and row("latent").depths(1_000) == []


def test_a_ladder_and_another_codec():
    assert row("latent@cosine:0.2,evidence:0.05").ladder(945) == "cosine:189,evidence:47"
    assert row("cosine:int8").codecs["vector"][0].name == "int8" and row("cosine:int8").name == "cosine"
    assert row("latent@cosine:0.0001").ladder(100) == "cosine:1"


def test_models_that_rank_again():
    found = row("latent@cosine:0.1>mice@0.05>reranker:int8@0.01")
    assert [system.text for system in found.systems] == ["latent", "mice", "reranker:int8"]
    assert found.depths(1_000) == [50, 10] and found.ladder(1_000) == "cosine:100"
    assert found.systems[2].codecs["vector"][0].name == "int8" and found.systems[2].stored
    texts = row("latent>reranker:texts@0.01").systems[1]
    assert (texts.name, texts.codecs, texts.stored) == ("reranker", None, False)
