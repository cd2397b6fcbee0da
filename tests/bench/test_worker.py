"""Workers: a library in a process of its own."""

import textwrap

import pytest

from bench.worker import Worker, WorkerError

MODULE = """
    import os, time
    from bench.peers import Case

    VERSIONS = {"stub": "1"}
    threads = None

    def set_threads(count):
        global threads
        threads = count

    def sleep(seconds):
        print("printed by the library")
        return Case(lambda: time.sleep(seconds), lambda: {"threads": threads, "seconds": seconds})

    def die():
        return Case(lambda: os._exit(3), dict)

    def spin(seconds):
        def call():
            end = time.process_time() + seconds
            while time.process_time() < end:
                pass
        return Case(call, dict)

    OPERATIONS = {"sleep": sleep, "spin": spin, "die": die}
"""


@pytest.fixture
def worker(tmp_path, monkeypatch):
    (tmp_path / "stub_library.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made = Worker("stub_library")
    yield made
    made.close()


def test_times_a_call_by_the_workers_own_clock(worker):
    assert worker.ask("versions") == {"stub": "1"}
    side = worker.prepare("sleep", seconds=0.002)
    assert side.facts == {"threads": None, "seconds": 0.002}
    assert 0.002 <= side.time(0.01) < 0.1
    side.drop()


def test_cpu_time_is_that_of_the_calls_since_threads_were_set(worker):
    asleep, busy = worker.prepare("sleep", seconds=0.02), worker.prepare("spin", seconds=0.002)
    for side in (asleep, busy):
        side.time(0.005)
    assert 0 <= asleep.cpu() < 0.01
    assert 0.002 <= busy.cpu() < 0.02
    busy.use_threads(2)
    with pytest.raises(WorkerError, match="ZeroDivisionError"):
        busy.cpu()
    busy.time(0.005)
    assert busy.cpu() >= 0.002


def test_cases_wait_beside_each_other(worker):
    short, long = (worker.prepare("sleep", seconds=seconds) for seconds in (0.0, 0.02))
    assert short.time(0.001) < long.time(0.001)
    short.use_threads(2)
    assert short.threads == 2
    assert worker.ask("check", case=long.case)["threads"] == 2


def test_an_error_is_told_and_the_worker_lives_on(worker):
    with pytest.raises(WorkerError, match="KeyError: 'matmul'"):
        worker.prepare("matmul")
    assert worker.prepare("sleep", seconds=0.0).time(0.001) > 0
    assert worker.alive


def test_the_environment_is_the_workers(tmp_path, monkeypatch):
    (tmp_path / "stub_library.py").write_text(
        "import os\nVERSIONS = {'found': os.environ['NPROC']}\nOPERATIONS = {}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made = Worker("stub_library", {"NPROC": "3"})
    assert made.ask("versions") == {"found": "3"}
    made.close()


def test_a_death_is_told(worker):
    side = worker.prepare("die")
    with pytest.raises(WorkerError, match="stub_library ended at 'time'"):
        side.time(0.001)
    worker.close()
    assert not worker.alive
