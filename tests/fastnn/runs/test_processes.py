import os

from fastnn.runs.processes import in_processes


def _add(a, b):
    return a + b


def test_results_come_with_their_times():
    found = list(in_processes(_add, [(1, 2), (3, 4), (5, 6)], 2, first=[(0, 0)]))
    assert sorted(result for _, result in found) == [3, 7, 11]
    assert [seconds for seconds, _ in found] == sorted(seconds for seconds, _ in found)


def test_processes_compute_on_one_thread():
    found = [result for _, result in in_processes(_threads, [(), ()], 2)]
    assert found == [{"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}] * 2


def _threads():
    return {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")}
