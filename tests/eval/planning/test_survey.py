import numpy as np
import pytest

from lateint.errors import InputError
from lateint.model.document import Document
from lateint_eval.planning.survey import length_bin, survey


def documents(number):
    return [Document(str(i), "x" * (1 + i % 97)) for i in range(number)]


def test_all_documents_are_counted_and_a_small_corpus_is_all_sample():
    found = survey(documents(50), 100)
    assert found.documents == 50 and sum(found.lengths.values()) == 50
    assert sorted(int(document.id) for document in found.sample) == list(range(50))
    assert [document.id for document in found.sample] != [str(i) for i in range(50)], "in random order"


def test_every_document_is_as_likely_as_any_other():
    times = np.zeros(40)
    for seed in range(600):
        for document in survey(documents(40), 10, seed).sample:
            times[int(document.id)] += 1
    assert times.sum() == 6_000
    assert (abs(times - 150) < 4.5 * (600 * 0.25 * 0.75) ** 0.5).all(), "each about a quarter of the time"


def test_one_seed_gives_one_sample():
    assert survey(documents(200), 20, 3).sample == survey(iter(documents(200)), 20, 3).sample
    assert survey(documents(200), 20, 3).sample != survey(documents(200), 20, 4).sample


def test_bins_grow_with_length():
    bins = [length_bin(Document("d", "x" * n)) for n in (0, 1, 10, 100, 101, 1_000)]
    assert bins == sorted(bins) and bins[3] == bins[4] and len(set(bins)) == 5


def test_an_empty_corpus_is_refused():
    with pytest.raises(InputError, match="no document"):
        survey([], 10)
