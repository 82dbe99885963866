"""Word pieces joined to words: of a query from its text, of a document from ids, for three kinds of vocabulary."""

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from lateint.backbone.tokenizer import TextEncoder
from lateint.backbone.wordpieces import words_of_ids, words_of_query
from lateint.methods.method import Layout

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = ["in", "##sort", "##ed", "sort", "list", "##s", "the", ".", "'", "don", "t", "?"]
TEXT = "the insorted lists. Insorted don't"


def encoder(raw):
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return TextEncoder(PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]"))


@pytest.fixture(scope="module")
def pieces():
    raw = Tokenizer(models.WordPiece({name: i for i, name in enumerate([*SPECIAL, *PIECES])}, unk_token="[UNK]"))
    raw.normalizer, raw.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    return encoder(raw)


def trained(pre_tokenizer, decoder):
    raw = Tokenizer(models.BPE(unk_token="[UNK]"))
    raw.pre_tokenizer, raw.decoder = pre_tokenizer, decoder
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(special_tokens=SPECIAL, vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    raw.train_from_iterator(["the sorted lists are insorted", "naïve words are sorted"], trainer)
    return encoder(raw)


def test_pieces_of_a_query_are_the_word_of_its_text_and_special_tokens_are_words(pieces):
    words = words_of_query(pieces, TEXT, Layout(max_length=32))
    assert [word.text for word in words] == [
        "[CLS]", "the", *["insorted"] * 3, "lists", "lists", ".", *["Insorted"] * 3, "don", "'", "t", "[SEP]"
    ]  # fmt: skip
    assert [word.first for word in words] == [0, 1, 2, 2, 2, 5, 5, 7, 8, 8, 8, 11, 12, 13, 14]


def test_markers_fill_trimmed_and_cut_ends_do_not_move_the_words_of_a_query(pieces):
    layout = Layout(max_length=9, marker="[UNK]", fill="[MASK]", trim="?")
    words = words_of_query(pieces, "the lists?", layout)
    assert [word.text for word in words] == ["[CLS]", "[UNK]", "the", "lists", "lists", "[SEP]", "[MASK]", "[MASK]", "[MASK]"]
    assert [word.first for word in words[-3:]] == [6, 6, 6]  # equal ones are one word
    words = words_of_query(pieces, "the lists the insorted", layout)
    assert [word.text for word in words] == ["[CLS]", "[UNK]", "the", "lists", "lists", "the", "insorted", "insorted", "[SEP]"]


def test_a_word_of_a_query_is_as_the_text_writes_it_with_the_control_characters_that_a_normaliser_drops(pieces):
    words = words_of_query(pieces, "THE li\x1bst", Layout(max_length=32))
    assert [word.text for word in words] == ["[CLS]", "THE", "li\x1bst", "[SEP]"]


def test_adjacent_pieces_of_a_document_are_joined_and_a_lone_one_stays(pieces):
    ids = [pieces.token_id(name) for name in ("[CLS]", "##ed", "in", "##sort", "##ed", "list", ".", "[SEP]")]
    words = words_of_ids(pieces, [*ids, 99])
    assert [word.text for word in words] == ["[CLS]", "##ed", *["insorted"] * 3, "list", ".", "[SEP]", "#99"]
    assert [word.first for word in words] == [0, 1, 2, 2, 2, 5, 6, 7, 8]
    assert words_of_ids(pieces, ids[1:2])[0] == (0, "##ed") and words_of_ids(pieces, []) == []


@pytest.mark.parametrize(
    ("pre_tokenizer", "decoder"),
    [
        (pre_tokenizers.ByteLevel(add_prefix_space=True), decoders.ByteLevel()),
        (pre_tokenizers.Metaspace(), decoders.Metaspace()),
    ],
)
def test_vocabularies_that_mark_where_words_start_give_the_same_words_on_both_sides(pre_tokenizer, decoder):
    texts = trained(pre_tokenizer, decoder)
    text, layout = "naïve words sorted xyz", Layout(max_length=32)
    ids = texts.tokens([text], layout)[0]
    ours, theirs = words_of_query(texts, text, layout), words_of_ids(texts, ids)
    assert ours == theirs and len({word.first for word in ours}) == 6 < len(ids)
    assert list(dict.fromkeys(word.text for word in ours)) == ["[CLS]", "naïve", "words", "sorted", "xyz", "[SEP]"]
