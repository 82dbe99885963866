"""Files of a study: results of a point carry a digest, so a changed figure is never reused."""

import json

import numpy as np
import pytest

from lateint_eval.studies.folder import Folder
from lateint_store.errors import InputError

RESULTS = {"codecs": "states=int8", "results": {"toy": {"nDCG@10": {"mean": 0.4375}}}}


def test_every_flipped_bit_in_the_results_of_a_point_is_found_or_changes_nothing(tmp_path):
    folder = Folder(tmp_path)
    file = folder.point("p")
    folder.write(file, RESULTS)
    sound, found, rng = file.read_bytes(), 0, np.random.default_rng(1)
    assert folder.read(file) == RESULTS
    for place in range(len(sound)):
        data = bytearray(sound)
        data[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(data)
        try:
            assert folder.read(file) == RESULTS, place
        except InputError:
            found += 1
    assert found > 0.6 * len(sound)  # the others are blanks


def test_results_of_an_earlier_version_are_read_and_other_files_have_no_digest(tmp_path):
    folder = Folder(tmp_path)
    folder.write(folder.point("p"), RESULTS)
    folder.point("p").write_text(json.dumps(RESULTS))
    assert folder.read(folder.point("p")) == RESULTS
    folder.write(tmp_path / "results.json", RESULTS)
    assert json.loads((tmp_path / "results.json").read_text()) == RESULTS
    folder.point("p").write_text("[1")
    with pytest.raises(InputError, match="delete it, then run the study again"):
        folder.read(folder.point("p"))
