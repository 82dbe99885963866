"""Recoding against direct builds: losses, refusals, and a source that is never changed."""

import json

import numpy as np
import pytest

from lateint_store import create_store, open_store, parse_codecs, recode
from lateint_store.errors import CodecError, InputError, StoreError
from tests.support.stores import ABOUT, WINDOW, build, contents, entry, fill, fork_child, specs

DOCUMENTS = 150
MASTER = "states=raw;token_ids=raw;vector=raw"
TARGETS = (
    "states=cast:float16+zstd;token_ids=cast:uint16;vector=int8",
    "states=int4+zstd;token_ids=pack:bits=15;vector=cast:float16",
    "states=drive:bits=4;token_ids=raw+checksum;vector=drive:bits=6",
)


def direct(path, codecs, documents=DOCUMENTS):
    store = create_store(path, specs(codecs), **ABOUT, window=WINDOW)
    fill(store, documents)
    return store


def digest(path):
    with open_store(path) as store:
        return store.content_digest()


@pytest.mark.parametrize("codecs", TARGETS)
def test_from_a_lossless_master_a_store_equals_a_direct_build(tmp_path, codecs):
    direct(tmp_path / "master", MASTER).close()
    made, losses = recode(tmp_path / "master", tmp_path / "made", parse_codecs(codecs))
    with made, direct(tmp_path / "direct", codecs) as wanted:
        assert made.content_digest() == wanted.content_digest() and contents(made) == contents(wanted)
        assert made.progress == wanted.progress and made.verify().ok and set(losses) <= set(made.manifest.arrays)
    with direct(tmp_path / "made", codecs, DOCUMENTS + 50) as longer, direct(tmp_path / "all", codecs, DOCUMENTS + 50) as once:
        assert longer.info()["encoded_by_last_run"] == 50 and longer.content_digest() == once.content_digest()


def test_a_recoded_lossy_store_differs_from_a_direct_build_within_both_bounds(tmp_path):
    """The negative twin of the test above: codes from a coarser source differ from those of a direct build."""
    direct(tmp_path / "half", "states=int8;token_ids=raw;vector=int8").close()
    made, _ = recode(tmp_path / "half", tmp_path / "made", parse_codecs("states=int4;vector=int4"))
    with made, direct(tmp_path / "direct", "states=int4;token_ids=raw;vector=int4") as wanted:
        assert made.content_digest() != wanted.content_digest()
        for number in range(DOCUMENTS):
            source = entry(number)
            (got,) = made.get([source.id])
            for name in ("states", "vector"):
                first = specs("states=int8;vector=int8")[name]
                second = made.manifest.specs[name]
                between = first.decode(first.encode(source.arrays[name]), number % 7).astype(np.float32)
                limit = first.bound(source.arrays[name]) + second.bound(between)
                moved = np.abs(got[name].astype(np.float64) - source.arrays[name])
                moved = moved.reshape(-1, source.arrays[name].shape[-1])
                assert (moved <= limit).all()


def test_losses_are_those_of_the_numbers_themselves(tmp_path):
    direct(tmp_path / "master", MASTER).close()
    made, losses = recode(tmp_path / "master", tmp_path / "made", parse_codecs("vector=int4"))
    with made:
        ids = list(made.ids())
        now = np.stack([arrays["vector"] for arrays in made.get(ids)]).astype(np.float64)
    before = np.stack([entry(number).arrays["vector"] for number in range(DOCUMENTS)])
    assert set(losses) == {"vector"} and losses["vector"].numbers == before.size
    assert losses["vector"].largest == np.abs(now - before).max() > 0
    assert losses["vector"].mean == pytest.approx(np.abs(now - before).mean())


def test_arrays_that_do_not_change_keep_their_codes(tmp_path):
    direct(tmp_path / "lossy", "states=int4;token_ids=raw;vector=drive:bits=2").close()
    made, losses = recode(tmp_path / "lossy", tmp_path / "made", parse_codecs("states=int4+zstd;token_ids=pack:bits=15"))
    with made, open_store(tmp_path / "lossy") as old:
        assert contents(made) == contents(old)
        assert losses["token_ids"].largest == 0.0 and "states" not in losses, "zstd over equal codes changes no number"


@pytest.mark.parametrize("codecs", ["states=raw", "states=cast:float16", "vector=int8"])
def test_finer_codecs_than_the_source_are_refused_unless_told(tmp_path, codecs):
    direct(tmp_path / "coarse", "states=int8;token_ids=raw;vector=int4").close()
    with pytest.raises(InputError, match="finer"):
        recode(tmp_path / "coarse", tmp_path / "made", parse_codecs(codecs))
    assert not (tmp_path / "made").exists()
    made, losses = recode(tmp_path / "coarse", tmp_path / "made", parse_codecs(codecs), finer=True)
    with made, open_store(tmp_path / "coarse") as old:
        assert len(made) == len(old) and all(loss.largest < 0.02 for loss in losses.values())


def test_deleted_documents_are_left_behind_and_a_sealed_source_stays_sealed(tmp_path):
    with direct(tmp_path / "master", MASTER) as store:
        store.delete(["doc3", "doc149"])
        store.seal()
    before = digest(tmp_path / "master")
    made, _ = recode(tmp_path / "master", tmp_path / "made", parse_codecs(TARGETS[0]))
    with made, direct(tmp_path / "direct", TARGETS[0]) as wanted:
        wanted.delete(["doc3", "doc149"])
        assert made.content_digest() == wanted.content_digest() and not made.sealed
        assert "doc3" not in made
    assert digest(tmp_path / "master") == before


def test_an_empty_store_can_be_recoded(tmp_path):
    create_store(tmp_path / "empty", specs(), **ABOUT).close()
    made, losses = recode(tmp_path / "empty", tmp_path / "made", parse_codecs("vector=int4"))
    with made:
        assert len(made) == 0 and losses["vector"].mean == 0.0


def test_wrong_targets_are_refused_before_anything_is_written(tmp_path):
    build(tmp_path / "s", 10).close()
    with pytest.raises(InputError, match="no array 'sates'; it holds states, token_ids, vector"):
        recode(tmp_path / "s", tmp_path / "made", parse_codecs("sates=int8"))
    with pytest.raises(StoreError, match="not empty"):
        recode(tmp_path / "s", tmp_path, parse_codecs("vector=int4"))
    build(tmp_path / "there", 10).close()
    with pytest.raises(StoreError):
        recode(tmp_path / "s", tmp_path / "there", parse_codecs("vector=int4"))
    with pytest.raises((InputError, CodecError)):
        recode(tmp_path / "s", tmp_path / "made", parse_codecs("token_ids=cast:uint8"))
    with pytest.raises(StoreError):
        open_store(tmp_path / "made")


def test_a_killed_recode_leaves_no_store_and_can_be_repeated(tmp_path):
    build(tmp_path / "s", DOCUMENTS).close()
    command = ("recode", tmp_path / "made", tmp_path / "s", "vector=int4")
    assert fork_child(*command, kill_at="rewrite.window:2") == (-9, "")
    with pytest.raises(StoreError):
        open_store(tmp_path / "made")
    found = json.loads(fork_child(*command)[1])
    made, _ = recode(tmp_path / "s", tmp_path / "again", parse_codecs("vector=int4"))
    with made:
        assert found["digest"] == made.content_digest()
