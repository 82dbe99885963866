"""What is tried again, when, and what fails the job."""

import pytest

from lateint.cluster.work_queue import Fault, FaultCount, WorkQueue
from lateint.errors import ClusterError

POISON = Fault("InputError", "document 'd' cannot be encoded")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def queue(clock):
    return WorkQueue("shard", [0, 1], clock)


def take_again(queue, clock, piece):
    """Pass the time until a piece is given out again; returns the seconds that it waited."""
    start = clock.now
    while (found := queue.take()) is None:
        clock.now += 0.5
    assert found == piece
    return clock.now - start


def test_pieces_are_given_out_once_and_in_order(queue):
    assert [queue.take(), queue.take(), queue.take()] == [0, 1, None]
    queue.done(1)
    queue.done(0)
    assert queue.left == 0


def test_a_lost_piece_comes_again_without_limit_after_pauses_that_grow(queue, clock):
    queue.take(), queue.take()
    queue.done(0)
    pauses = []
    for _ in range(40):
        queue.lost(1)
        pauses.append(take_again(queue, clock, 1))
    assert pauses[:4] == [0.5, 1.0, 2.0, 4.0] and max(pauses) == 30.0


def test_the_third_equal_error_fails_the_job_and_names_the_piece(queue, clock):
    queue.take(), queue.take()
    for _ in range(2):
        queue.failed(1, POISON)
        take_again(queue, clock, 1)
    with pytest.raises(ClusterError, match=r"shard 1 failed 3 times with the same error: InputError: document 'd'"):
        queue.failed(1, POISON)


def test_different_errors_and_other_pieces_are_counted_apart(queue, clock):
    queue.take(), queue.take()
    for number in range(4):
        queue.failed(1, Fault("OSError", f"reason {number}"))
        take_again(queue, clock, 1)
    for piece in (0, 1, 0, 1):
        queue.failed(piece, POISON)
        take_again(queue, clock, piece)
    with pytest.raises(ClusterError, match="shard 1 failed 3 times"):  # its third of this error
        queue.failed(1, POISON)


def test_passing_errors_do_not_count(queue, clock):
    queue.take(), queue.take()
    left = queue.left
    for _ in range(5):
        queue.failed(1, Fault("StoreLocked", "it is open", passing=True))
        take_again(queue, clock, 1)
    assert queue.left == left


def test_starts_are_counted_until_one_succeeds():
    starts = FaultCount("the start of a worker")
    for _ in range(2):
        starts.add(POISON)
    starts.clear()
    starts.add(POISON)
    starts.add(POISON)
    with pytest.raises(ClusterError, match="the start of a worker failed 3 times"):
        starts.add(POISON)


def test_other_work_goes_first_while_a_piece_pauses(queue):
    queue.take()
    queue.lost(0)
    assert (queue.take(), queue.take(), queue.left) == (1, None, 2)
