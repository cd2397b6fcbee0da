import pytest

import fastnn
from fastnn.callbacks import ModelCheckpoint
from own_layers import ignore_own


def test_model_checkpoint_keeps_the_best(run, script, tmp_path):
    path = tmp_path / "new" / "best.safetensors"
    run(script([3, 1, 2, 4]), ModelCheckpoint(path), epochs=4)
    assert fastnn.load(path)[0].weight[0, 0] == 2
    assert [each.name for each in path.parent.iterdir()] == ["best.safetensors"]


@pytest.mark.parametrize(("every", "expected"), [(True, {1, 2}), (False, {1, 2, 3, 4})])
def test_a_file_for_each_epoch(run, script, tmp_path, every, expected):
    each = ModelCheckpoint(tmp_path / "{epoch}.safetensors", save_best_only=every)
    run(script([3, 1, 2, 4]), each, epochs=4)
    assert {int(path.stem) for path in tmp_path.iterdir()} == expected
    for epoch in expected:
        assert fastnn.load(tmp_path / f"{epoch}.safetensors")[0].weight[0, 0] == epoch


@ignore_own
def test_a_model_that_cannot_be_saved_is_refused_at_once(run, own, tmp_path):
    heard = []
    model = fastnn.Sequential(fastnn.Linear(4, 3, seed=0), own())
    with pytest.raises(TypeError, match="Own, which is not a layer of fastnn's"):
        run(ModelCheckpoint(tmp_path / "m"), heard.append, model=model)
    assert heard == []
    assert list(tmp_path.iterdir()) == []
