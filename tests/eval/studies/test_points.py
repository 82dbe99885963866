from dataclasses import replace

import pytest

from lateint.errors import InputError
from lateint_eval.studies.points import points
from lateint_eval.studies.spec import Data, Grid, Study

DATA = (Data(name="toy", folder="toy"),)
CODECS = ("states=int8", "states=int4")
GRID = Grid(model="m", method=("prettr", "mice"), offline_layers=("2", "4"), codecs=CODECS, threads=(2, 1))


def test_every_combination_is_a_point_once_and_has_a_name_of_its_own():
    found = points(Study(data=DATA, grids=(GRID,)))
    assert len(found) == 16 and len({point.id for point in found.values()}) == 16
    assert "prettr L=2 states=int8 threads=2" in found and "mice L=4 states=int4 threads=1" in found


def test_points_that_differ_in_codecs_depth_or_threads_share_an_encoding():
    found = points(Study(data=DATA, grids=(replace(GRID, depth=(10, 20)),)))
    assert len(found) == 32 and len({point.encoding for point in found.values()}) == 4
    assert {point.encoding_threads for point in found.values()} == {1}, "else a resumed study could encode otherwise"


def test_what_does_not_differ_is_not_in_the_name():
    found = points(Study(data=DATA, grids=(Grid(model="default"), Grid(model="teacher", codecs=("vector=int8",)))))
    assert list(found) == ["default", "teacher vector=int8"]
    assert list(points(Study(data=DATA, grids=(Grid(model="default"),)))) == ["default"]


def test_the_same_point_twice_is_refused():
    with pytest.raises(InputError, match="twice"):
        points(Study(data=DATA, grids=(GRID, GRID)))


def test_a_point_depends_on_all_that_it_is():
    (point,) = points(Study(data=DATA, grids=(Grid(model="m"),))).values()
    assert point.options() == "--model m --device cpu --depth 50 --threads 1"
    changes = {"model": "n", "codecs": "c", "depth": 3, "doc_max_length": 9, "device": "cuda", "pool": "mean"}
    assert len({replace(point, **{key: value}).id for key, value in changes.items()} | {point.id}) == len(changes) + 1
