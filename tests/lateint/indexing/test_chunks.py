"""Chunks of long documents: boundaries, ids, storage, resumed builds and rejected input."""

import random

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from lateint.backbone.tokenizer import TextEncoder
from lateint.errors import DuplicateDocument, InputError, MissingDocument, StoreMismatch
from lateint.indexing.build import build_store
from lateint.indexing.chunks import Chunks, chunk_id, cut
from lateint.indexing.store import open_store
from lateint.model.document import Document
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from lateint_store import Entry, merge
from tests.support import engine
from tests.support.engine import CHUNKS, LONG, QUERY, part

WINDOW = 4


def build(folder, documents=LONG, chunks=CHUNKS, **options):
    return build_store(engine.model(), documents, folder / "store", chunks=chunks, **({"window": WINDOW} | options))


def interrupted(documents, at):
    yield from documents[:at]
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def digest(tmp_path_factory):
    with build(tmp_path_factory.mktemp("whole")) as store:
        return store.content_digest()


def word_pieces(letters):
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        *letters,
        *(f"##{letter}" for letter in letters),
        "##ab",
        "abc",
        "dog",
        ",",
        ".",
    ]
    raw = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(vocabulary)}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return raw


def byte_pairs(letters):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ġ", "a"), ("a", "b"), ("Ġa", "b"), ("d", "o"), ("do", "g"), ("Ġ", "dog")]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *alphabet, *("".join(pair) for pair in merges)]
    raw = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return raw


def with_tokenizer(make):
    """A model with another tokenizer; it cannot encode."""
    raw = make("abcdgo")
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    model = engine.fresh_model()
    model.texts = TextEncoder(PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="[PAD]"))
    return model


def body(model, document):
    """Token ids of a document's text, without title and special tokens."""
    titled, title = (model.document_tokens([each])[0] for each in (document, Document("t", document.title)))
    return titled[len(title) - 1 : -1]


@pytest.mark.parametrize(("title", "space"), [("", "\n"), ("", "  "), ("dog abc", " "), ("dog " * 40, " ")])
@pytest.mark.parametrize("make", [word_pieces, byte_pairs])
def test_the_tokens_of_a_chunk_are_a_slice_of_those_of_the_document(make, title, space):
    model, chance = with_tokenizer(make), random.Random(4)
    for overlap in (0, 5):
        chunks = Chunks(40, overlap)
        words = ["".join(chance.choices("abcdgo", k=chance.randint(1, 6))) + chance.choice(["", ",", " ."]) for _ in range(60)]
        document = Document("x#7", space.join(words), title)
        pieces = cut(chunks, model, [document])
        assert pieces.sizes == [len(pieces.documents)] and len(pieces.documents) > 4
        whole = model.texts.raw.encode(f" {document.text}" if title else document.text, add_special_tokens=False).ids
        start, end = -1, overlap
        for k, chunk in enumerate(pieces.documents):
            tokens = body(model, chunk)
            assert chunk.id == f"x#7#{k}" and len(model.document_tokens([chunk])[0]) <= 40
            start = next(s for s in range(start + 1, len(whole)) if whole[s : s + len(tokens)] == tokens)
            assert start <= max(0, end - (overlap // 2 if title else overlap))
            end = start + len(tokens)
            assert chunk.title == title[: len(chunk.title)] and bool(chunk.title) == bool(title)
        assert end == len(whole)


def test_a_word_longer_than_a_chunk_is_cut_inside():
    pieces = cut(Chunks(10, 2), with_tokenizer(word_pieces), [Document("x", "g" * 60)])
    assert len(pieces.documents) > 6 and all(set(chunk.text) == {"g"} for chunk in pieces.documents)


def test_a_document_that_fits_is_itself_and_a_limit_counts_those_that_lose_their_end():
    model = engine.model()
    short = [Document("a", "bread and yeast", "oven"), Document("b", ""), Document("c", "", "oven " * 60)]
    pieces = cut(CHUNKS, model, short[:2])
    assert pieces.sizes == [1, 1] and [(d.id, d.full_text) for d in pieces.documents] == [
        ("a#0", "oven bread and yeast"),
        ("b#0", ""),
    ]
    assert cut(CHUNKS, model, short).documents[2].title == " ".join(["oven"] * 9)
    unlimited, limited = cut(CHUNKS, model, LONG), cut(Chunks(20, 6, 2), model, LONG)
    assert max(unlimited.sizes) > 4 and unlimited.cut == 0
    assert limited.sizes == [min(2, size) for size in unlimited.sizes]
    assert limited.cut == sum(size > 2 for size in unlimited.sizes) > 0


def test_without_title_and_words_of_one_token_the_arithmetic_is_the_textbooks():
    words = " ".join(tiny.WORDS[:50])
    found = [chunk.text.split() for chunk in cut(Chunks(11, 4), engine.model(), [Document("x", words)]).documents]
    assert found == [tiny.WORDS[start : start + 10][: max(0, 50 - start)] for start in range(0, 41, 6)] + [tiny.WORDS[42:50]]


@pytest.mark.parametrize("at", [0, 5, 13])
def test_an_interrupted_build_of_chunks_goes_on_to_the_same_content(tmp_path, digest, at):
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, interrupted(LONG, at))
    with open_store(tmp_path / "store") as begun:
        assert begun.progress.source_position == at // WINDOW * WINDOW and begun.chunks == CHUNKS
    with build(tmp_path) as store:
        assert store.content_digest() == digest and store.verify().ok
        assert len(store) == sum(cut(CHUNKS, engine.model(), LONG).sizes) > len(LONG)


def test_shards_merge_and_other_windows_hold_the_same_documents(tmp_path, digest):
    for i in range(2):
        build(tmp_path / str(i), shard=(i, 2)).close()
    with merge([tmp_path / str(i) / "store" for i in range(2)], tmp_path / "merged") as merged:
        assert merged.content_digest() == digest
    with open_store(tmp_path / "merged") as merged, build(tmp_path, window=None) as store:
        assert merged.chunks == CHUNKS and store.manifest.window == 64
        assert set(merged.ids()) == set(store.ids())


def test_other_chunks_at_the_same_place_are_refused(tmp_path, digest):
    build(tmp_path).close()
    for other, shown in ((Chunks(20, 5), "20/5"), (Chunks(20, 6, 9), "20/6/9"), (None, "None")):
        with pytest.raises(StoreMismatch, match=f"chunks 20/6 there, {shown} here"):
            build(tmp_path, chunks=other)
    with build(tmp_path) as store:
        assert store.content_digest() == digest and store.info()["fingerprint"]["chunks"] == "20/6"


def test_every_chunk_is_what_encoding_its_text_alone_stores(tmp_path):
    model = engine.model()
    with build(tmp_path, window=1) as store:
        for chunk in cut(CHUNKS, model, LONG[:4]).documents:
            alone = model.encode(model.document_tokens([chunk]))[0]
            stored = store.get([chunk.id])[0]
            assert abs(stored["states"] - alone["states"]).max() < 1e-5
            assert stored["chunks"] == cut(CHUNKS, model, [d for d in LONG if d.id == chunk.id.split("#")[0]]).sizes


def test_documents_of_a_chunked_store_are_added_deleted_and_refused_by_their_own_ids(tmp_path):
    model = engine.model()
    with build(tmp_path) as store:
        before, total = store.content_digest(), len(store)
        with pytest.raises(DuplicateDocument, match=r"already holds.*'D3'"):
            store.add([LONG[3]], model)
        with pytest.raises(MissingDocument, match="no document 'D3#0'"):
            store.delete(["D4", "D3#0"])
        assert store.content_digest() == before
        store.delete(["D3"])
        assert store.held(["D3", "D4"]) == {"D4"} and len(store) < total and "D3#0" not in store
        store.add([LONG[3], Document("D3#0", "salt " * 40)], model)
        sizes, _ = store.sizes(["D3#0", "D3", "none"])
        assert sizes == {"D3#0": 3, "D3": cut(CHUNKS, model, [LONG[3]]).sizes[0]}
        assert "D3#0#2" in store.entry_ids(sizes) and store.verify().ok
        with pytest.raises(InputError, match="chunks"):
            store.add([Entry("E#0", model.encode(model.document_tokens(LONG[:1]))[0])])


@pytest.mark.parametrize("second", [3, 17])
def test_a_repeated_document_is_refused_naming_both_places(tmp_path, second):
    documents = [*LONG[:second], Document("D1", "stone"), *LONG[second + 1 :]]
    with pytest.raises(DuplicateDocument, match=rf"\b{second}\b.*'D1'|'D1'.*"):
        build(tmp_path, documents)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (Document("bad", "salt \ud800"), "document 6 .*'bad'.*surrogate"),
        (Document("bad", "salt", "\udfff"), "document 6 .*'bad'.*surrogate"),
        (Document("bad", None), "document 6 .*'bad'.*NoneType"),
        (Document("", "salt"), "id ''.*not empty"),
        (Document(7, "salt"), "document 6 .*id 7.*int"),
    ],
)
def test_a_document_that_is_no_text_is_refused_by_name_and_the_rest_can_go_on(tmp_path, digest, document, reason):
    with pytest.raises(InputError, match=reason):
        build(tmp_path, [*LONG[:6], document, *LONG[7:]])
    with build(tmp_path) as store:
        assert store.content_digest() == digest


def test_chunks_that_cannot_be_are_refused(tmp_path):
    for given, reason in (
        ((0,), "length 0"), ((10, -1), "overlap -1"), ((10, 10), "overlap by 10; expected less than 10"),
        ((10, 2, 0), "limit 0"),
        ((True,), "length True"), ((10, 2.5), "overlap 2.5"), ((10, 2, 1 << 20), "at most 1048576 chunks"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=reason):
            Chunks(*given)
    for chunks, reason in (
        (Chunks(49), "chunks of 49 tokens, but .* reads 48"),
        (Chunks(2), "leave no room for text; expected at least 3"),
        (Chunks(10, 9), "leave no room for text; expected at least 11"),
    ):
        for call in (lambda: build(tmp_path, chunks=chunks), lambda: Ranker(engine.model(), chunks=chunks)):
            with pytest.raises(InputError, match=reason):
                call()
    assert not (tmp_path / "store").exists()
    for doc_id in ("", 7):
        with pytest.raises(InputError, match="expected str"):
            chunk_id(doc_id, 0)


def test_a_chunk_without_text_is_ranked_and_codecs_apply_to_chunks(tmp_path):
    documents = [Document("empty", ""), Document("full", "bread " * 100)]
    codecs = {"states": (part("cast", dtype="float16"), part("zstd"))}
    with build(tmp_path, documents, codecs=codecs) as store:
        ranking = Ranker(engine.model(), store).rank(QUERY, ["empty", "full"])
        assert len(ranking) == 2 and store.sizes(["full"])[0]["full"] == len(store) - 1
