import pytest

from lateint.errors import InputError
from lateint_eval.studies.spec import Data, Grid, Study, read_study

GOOD = """
name = "toy"
measures = "nDCG@10"

[[data]]
name = "toy"
folder = "sets/toy"
sample = 20

[[data]]
name = "files"
corpus = "c.tsv"
queries = "q.tsv"
qrels = "irds:some/thing"
run = "r.trec"

[[grids]]
model = "all-MiniLM-L6-v2"
method = ["prettr", "mice"]
offline_layers = [2, "T/2"]
codecs = "states=int8"
depth = 10
"""


def written(tmp_path, text):
    (tmp_path / "study.toml").write_text(text)
    return tmp_path / "study.toml"


def test_a_study_is_read_with_paths_beside_it_and_single_values_as_lists(tmp_path):
    study = read_study(written(tmp_path, GOOD))
    assert study.name == "toy" and study.measures == ("nDCG@10",) and study.seed == 0
    first, second = study.data
    assert first.folder == str(tmp_path / "sets" / "toy") and first.sample == 20 and first.split == "dev"
    assert second.corpus == str(tmp_path / "c.tsv") and second.qrels == "irds:some/thing"
    (grid,) = study.grids
    assert grid.method == ("prettr", "mice") and grid.offline_layers == ("2", "T/2") and grid.depth == (10,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("measures =", "mesures ="), "'mesures', which is unknown; did you mean 'measures'"),
        (("codecs =", "codec ="), r"\[\[grids\]\] has the key 'codec', which is unknown; did you mean 'codecs'"),
        (("sample = 20", "sampel = 20"), r"\[\[data\]\] has the key 'sampel'.*'sample'"),
        (("sample = 20", 'sample = "20"'), "sample = '20'; expected a whole number"),
        (("sample = 20", "sample = true"), "expected a whole number"),
        (("depth = 10", "depth = []"), "depth is empty"),
        (("depth = 10", "depth = [10, 0]"), "depth=0; expected at least 1"),
        (("depth = 10", "depth = 10\nthreads = 5000"), "threads=5000; expected at most 4096"),
        (("depth = 10", 'pool = "mean"\ndepth = 1.5'), "expected a whole number"),
        (('model = "all-MiniLM-L6-v2"', ""), "lacks 'model'"),
        (('method = ["prettr", "mice"]', 'pool = "mean"'), "expected methods as well"),
        (('folder = "sets/toy"', ""), "expected a name and a folder"),
        (('run = "r.trec"', ""), "expected a name and a folder"),
        (('name = "files"', 'name = "toy"'), "equal names"),
        (("[[grids]]", "[[grids"), "is not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, change, message):
    assert change[0] in GOOD
    with pytest.raises(InputError, match=message):
        read_study(written(tmp_path, GOOD.replace(*change)))


def test_a_file_that_is_not_there_or_says_nothing(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        read_study(tmp_path / "none.toml")
    with pytest.raises(InputError, match="needs"):
        read_study(written(tmp_path, ""))


def test_a_path_may_begin_with_a_variable_and_keeps_it(tmp_path):
    study = read_study(written(tmp_path, GOOD.replace('"sets/toy"', '"$SETS/toy"\nids = "some.txt"')))
    assert study.data[0].folder == "$SETS/toy" and study.data[0].ids == str(tmp_path / "some.txt")


def test_a_study_is_plain_data():
    study = Study(data=(Data(name="a", folder="b"),), grids=(Grid(model="m"),))
    assert study.to_json()["grids"][0]["depth"] == (50,)


@pytest.mark.parametrize(
    "name", ["/../../../outside", "..", ".hidden", "a/b", "a\\nb", "<script>alert(4)</script>", "x" * 101, "\\u001b[2J"]
)
def test_the_name_of_a_set_cannot_leave_the_folder_of_the_study(tmp_path, name):
    with pytest.raises(InputError, match=r"data name .*; expected 1 to 100 letters"):
        read_study(written(tmp_path, GOOD.replace('name = "files"', f'name = "{name}"')))
