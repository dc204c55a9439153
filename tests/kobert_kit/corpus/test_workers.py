import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import pytest

from kobert_kit.corpus import workers
from kobert_kit.corpus.part import PartCounts, RawDocument
from kobert_kit.corpus.workers import PartMaker, Task, make_parts
from kobert_vocab.child import ChildError


def task_of(source, number, text="오늘은 비가 온다."):
    return Task(source, number, [RawDocument(text, "ko", 1)])


@pytest.fixture
def maker(tmp_path, vocabulary):
    return PartMaker(tmp_path, vocabulary, "rules", 1_000)


class Another:
    """Of a vocabulary no more than its name is asked for."""

    fingerprint = "another"


def test_a_part_is_found_again_by_all_that_shapes_it_and_by_nothing_less(
    maker, tmp_path, vocabulary, monkeypatch
):
    made = maker(task_of("news", 3))
    assert maker.existing("news", 3).folder == made.folder
    assert maker.existing("other", 3) is None
    assert maker.existing("news", 4) is None
    for others in (
        (vocabulary, "kiwi", 1_000),
        (Another(), "rules", 1_000),
        (vocabulary, "rules", 9),
    ):
        assert PartMaker(tmp_path, *others).existing("news", 3) is None
    for name in ("CLEANING", "VERSION"):
        with monkeypatch.context() as patch:
            patch.setattr(workers, name, "changed")
            assert maker.existing("news", 3) is None
    assert maker.existing("news", 3).hash == made.hash


@pytest.mark.parametrize("processes", [1, 2])
def test_parts_come_in_the_order_of_their_tasks_those_made_before_among_them(maker, processes):
    before = maker(task_of("before", 0))
    tasks = [task_of("news", number, f"{number}째 글이다. " * (9 - number)) for number in range(9)]
    parts = list(make_parts(maker, [*tasks[:4], before, *tasks[4:]], processes))
    assert parts.pop(4).hash == before.hash
    read = [PartCounts.load(part.folder).languages["ko"].read_bytes for part in parts]
    assert read == [len(task.block[0].text.encode()) for task in tasks]


def test_no_more_than_two_blocks_for_each_worker_are_ahead(maker):
    taken = Counter()

    def tasks():
        for number in range(20):
            taken["blocks"] += 1
            yield task_of("news", number)

    parts = make_parts(maker, tasks(), 2)
    for done in range(1, 4):
        next(parts)
        assert taken["blocks"] <= done + 2 * 2
    parts.close()


def test_equal_tasks_are_one_for_the_workers(maker, monkeypatch):
    submitted, submit = [], ProcessPoolExecutor.submit

    def counted(self, work, task):
        submitted.append(task.number)
        return submit(self, work, task)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", counted)
    parts = list(make_parts(maker, [task_of("news", number) for number in (0, 1, 0)], 2))
    assert submitted == [0, 1]
    assert parts[0] == parts[2] != parts[1]


class Deadly:
    """Ends the process that is to read it."""

    def __reduce__(self):
        return os._exit, (1,)


def test_a_worker_that_dies_is_said_in_words(maker):
    with pytest.raises(ChildError, match="try fewer --workers; the parts that are done are kept"):
        list(make_parts(maker, [Task("news", 0, [Deadly()])], 2))
