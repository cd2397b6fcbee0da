"""Turns, ratios and their spread."""

import pytest

from bench.measure import CLOCK, Pace, Rounds, Spread, fastest_count, in_turns, thread_counts


class Recorder:
    """Call a function as pytest-benchmark's fixture does, with the timer the suite gives it."""

    def __init__(self):
        self.durations = []

    def pedantic(self, target, rounds):
        for _ in range(rounds):
            started = CLOCK()
            target()
            self.durations.append(CLOCK() - started)


class Scripted:
    """A side whose calls take what a list says."""

    def __init__(self, name, seconds, log):
        self.name, self.seconds, self.log = name, iter(seconds), log

    def time(self, seconds):
        self.log.append(self.name)
        return next(self.seconds)


def test_spread_is_of_quartiles():
    assert Spread.of([5, 1, 2, 4, 3]) == Spread(3, 2, 4, 5)
    assert Spread.of([7]) == Spread(7, 7, 7, 1)
    assert Spread.of([5, 1, 2, 4, 3]) * 10 == Spread(30, 20, 40, 5)


def test_a_slow_spell_does_not_change_the_ratio():
    spell = [1, 1, 9, 9, 1, 1]
    log, recorder = [], Recorder()
    sides = {
        "ours": Scripted("ours", [2 * slow for slow in spell], log),
        "peer": Scripted("peer", [6 * slow for slow in spell], log),
    }
    rounds = in_turns(recorder, sides, Pace(len(spell), 0.0))
    assert rounds.ratio("peer", "ours") == Spread(3, 3, 3, 6)
    assert recorder.durations == pytest.approx([2 * slow for slow in spell])
    # Every other round begins with the other side.
    assert log[:8] == ["ours", "peer", "peer", "ours", "ours", "peer", "peer", "ours"]


def test_ratio_to_best_takes_one_side_for_all_rounds():
    rounds = Rounds({"ours": [1, 1, 1], "a": [4, 4, 1], "b": [3, 3, 3]})
    assert rounds.ratio_to_best(["a", "b"], "ours") == Spread(3, 3, 3, 3)
    assert rounds.rate("b", 6).median == 2


def test_rounds_fit_a_budget():
    pace = Pace(rounds=41, seconds=0.005, budget=10.0, fewest=9)
    assert pace.rounds_of(0.01) == 41
    assert pace.rounds_of(0.5) == 20
    assert pace.rounds_of(100) == 9
    assert Pace(3, 0.0, budget=10.0, fewest=9).rounds_of(100) == 3
    assert pace.sooner() == Pace(13, 0.005, 10.0 / 3, 5)


def test_the_first_round_of_a_budget_is_not_counted():
    log, recorder = [], Recorder()
    sides = {name: Scripted(name, [9, 1, 1, 1], log) for name in ("ours", "peer")}
    rounds = in_turns(recorder, sides, Pace(3, 0.0, budget=60.0, fewest=1))
    assert rounds.of("ours") == Spread(1, 1, 1, 3)
    assert recorder.durations == [1, 1, 1]


def test_fastest_count():
    assert fastest_count(lambda count: abs(count - 3), [1, 2, 3, 4]) == 3
    assert fastest_count(lambda count: pytest.fail("nothing to try"), [1]) == 1


@pytest.mark.parametrize(
    ("cores", "expected"),
    [(1, [1]), (3, [1, 2, 3]), (12, [1, 2, 4, 8, 12]), (16, [1, 2, 4, 8, 16])],
)
def test_thread_counts(cores, expected, monkeypatch):
    monkeypatch.setattr("bench.measure.cores", lambda: cores)
    assert thread_counts() == expected
