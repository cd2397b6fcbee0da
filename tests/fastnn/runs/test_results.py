import pytest

from fastnn.runs.results import RESULTS, Result, Results, SweepFileError
from fastnn.runs.settings import Settings

OUTCOME = '{"settings": {}, "outcome": "finished", '


@pytest.mark.parametrize(
    "line",
    ["{}", "x", "[]", '{"settings": {}}', '{"settings": 3}', "", "[" * 100_000]
    + [OUTCOME + f'"val_loss": {odd}}}' for odd in ("{}", "NaN", "-Infinity", "1e999", '"1"')],
)
def test_a_line_that_is_no_result_is_named(line, tmp_path):
    good = Result(Settings(), "finished", 0.5).to_line()
    content = f"{good}\n{line}\n{good}\n"
    (tmp_path / RESULTS).write_text(content)
    with pytest.raises(SweepFileError, match=rf"{RESULTS}: line 2 is no result of a run"):
        Results(tmp_path)
    assert (tmp_path / RESULTS).read_text() == content


def test_ranks():
    def ranked(**numbers):
        return Result(Settings(), **{"outcome": "finished", **numbers}).rank

    better = [
        ranked(outcome="loss not finite", val_accuracy=0.99, val_loss=0.1),
        ranked(val_accuracy=0.5, val_loss=0.1),
        ranked(val_accuracy=0.6, val_loss=0.3),
        ranked(val_accuracy=0.6, val_loss=0.2),
    ]
    assert better == sorted(better)
    assert ranked(val_loss=0.1) > ranked(val_loss=0.2) > ranked()
