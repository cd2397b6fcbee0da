import numpy as np
import pytest

from fastnn import SGD, Adam, Linear, Normalize, Parameter, ReLU, Sequential, Tanh
from fastnn.compiler.builder import Builder
from fastnn.compiler.lowering import stage as stages
from fastnn.compiler.lowering.linear import LinearStage
from fastnn.compiler.lowering.stage import Learning, Place, Stage, UnsupportedError, lowers
from fastnn.nn.kinds import LAYERS, is_known
from kernels.base.kinds import Memory, Update
from kernels.base.memory import address
from kernels.product import panels


@pytest.fixture
def build():
    return Builder(8, np.dtype(np.float32), 1)


@pytest.fixture
def registry(monkeypatch):
    """The registry of stages, as it was again in the end."""
    monkeypatch.setattr(stages, "STAGES", dict(stages.STAGES))
    return stages.STAGES


# ----------------------------------------------------------------------- layers to stages


def test_every_layer_has_a_stage_but_the_first_that_comes_with_the_samples():
    for kind in LAYERS.values():
        assert any(each in stages.STAGES for each in kind.__mro__) == (kind is not Normalize)


def test_a_layer_joins_the_stage_before_where_that_takes_it():
    first, second = Linear(3, 5), Linear(5, 2)
    made = stages.stages_of([first, ReLU(), Tanh(), second, Tanh()], is_known)
    assert [type(each).__name__ for each in made] == [
        "LinearStage",
        "ActivationStage",
        "LinearStage",
    ]
    assert [made[0].layer, made[2].layer] == [first, second]


def test_a_stage_is_registered_for_layers_and_those_derived_from_them(registry, monkeypatch):
    class Mine:
        pass

    class Derived(Mine):
        pass

    class Other:
        pass

    @lowers(Mine, Other)
    class MineStage(Stage):
        pass

    assert registry[Mine] is registry[Other] is MineStage
    with pytest.raises(UnsupportedError, match="Derived is not a layer that fastnn compiles"):
        stages.stages_of([Derived()], is_known)
    monkeypatch.setitem(LAYERS, "Derived", Derived)
    (stage,) = stages.stages_of([Derived()], is_known)
    assert type(stage) is MineStage


# --------------------------------------------------------------------------- parameters


def test_the_place_where_python_sees_a_parameter(build):
    model = Sequential(Linear(7, 9))
    for parameter, ld in zip(model.parameters(), (16, parameter_ld(model[0]._bias)), strict=True):
        place, pointer = Place.of(build, parameter), address(parameter.memory)
        assert place == Place(pointer, parameter.span, ld, 0, Memory(pointer, 0))
        assert place.ld == parameter_ld(parameter)


def parameter_ld(parameter):
    return parameter.memory_shape[-1]


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_a_parameter_is_borrowed_once_with_what_is_remembered_of_it(build, kind):
    layer = Linear(40, 100)
    weight = layer._weight
    optimizer = kind([weight, layer._bias])
    learning = Learning(optimizer, fused=True)
    place = learning.place(build, weight, columns=100)
    assert learning.place(build, weight, columns=100) is place
    assert len(build.borrowed) == 1 + optimizer.rule.memories
    owners = [row[2] for row in build.borrowed]
    assert owners == [address(each) for each in (weight.memory, *optimizer.memories_of(weight))]
    _, elements = panels.sizes(40, 100, np.float32)
    assert (place.ld, place.panel) == (panels.span_of(np.float32), elements)
    copies = [row[4] for row in build.borrowed]
    assert place.pointer == copies[0]
    assert place.memory.pointer == copies[1]
    if optimizer.rule.memories > 1:
        assert 4 * place.memory.apart == copies[2] - copies[1]
    # Without columns it is one row, as it lies in memory.
    flat = learning.place(build, layer._bias)
    assert (flat.ld, flat.panel, flat.span) == (layer._bias.memory_shape[-1], 0, layer._bias.span)


def test_a_parameter_that_does_not_learn_stays_where_it_is(build):
    known, other = Parameter(np.ones((3, 5), "f")), Parameter(np.ones((3, 5), "f"))
    learning = Learning(SGD([known]), fused=True)
    assert learning.place(build, other, columns=5) == Place.of(build, other)
    assert stages.place_of(build, known, None) == Place.of(build, known)
    assert build.borrowed == []
    assert stages.place_of(build, known, learning).pointer != address(known.memory)


@pytest.mark.parametrize("decays", [True, False])
def test_how_a_parameter_is_updated(build, emitted, decays):
    parameter = Parameter(np.ones((3, 5), "f"))
    parameter.decays = decays
    optimizer = Adam([parameter])
    optimizer.steps = 7
    learning = Learning(optimizer, fused=True)
    rule, settings = optimizer.rule.routine.address(build.real), address(optimizer.settings)
    how = Update(rule, decays, 7, settings)
    assert learning.update_of(build, parameter) == how
    assert learning.update_of(build, parameter, fused=False) == how._replace(rule=0)
    learning.emit_update(build, parameter)
    (update,) = emitted
    place = learning.place(build, parameter)
    gradient = update.operands.pop("g")
    assert address(gradient) == address(parameter.gradient_memory)
    expected = {"size": parameter.span, "p": place.pointer, "memory": place.memory, "how": how}
    assert update == ("update", False, expected)


def test_what_stages_may_leave_out():
    stage = Stage(None)
    assert not stage.absorbs(ReLU())
    assert not stage.learns
    assert stage.below is stage.above is None
    assert LinearStage(Linear(3, 2)).learns
