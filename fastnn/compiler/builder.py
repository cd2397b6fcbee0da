"""What stages emit a program into: its instructions, and the memory that they work on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

import kernels
from fastnn.nn.parameters import Parameter
from fastnn.optim.optimizers import Optimizer
from kernels.base.jit import Routine, real_type
from kernels.base.memory import address, aligned_zeros, leading_dimension, padded
from kernels.instructions import borrowing as borrowed
from kernels.instructions import common as instructions
from kernels.machine import interpreter as epoch
from kernels.product import panels

_IDENTITY = kernels.ACTIVATIONS["identity"]
_SMALL, _ARENA = 2**15, 2**17  # bytes of what is laid out side by side, and of where that is


@dataclass(frozen=True)
class Block:
    """A batch of rows in the arena: where it begins, its columns, and how far rows are apart.

    With a `panel` other than 0 the columns lie in panels, which begin so many elements apart
    (`kernels.product.panels`). `activation` is the function its producer applied last, whose
    gradient is still to be taken by whoever computes the gradient of this block.
    """

    address: int
    columns: int
    ld: int
    activation: int = _IDENTITY
    panel: int = 0

    @property
    def place(self) -> tuple[int, int]:
        """Address and leading dimension, as instructions take them."""
        return self.address, self.ld


@dataclass(frozen=True)
class Place:
    """Where a program has a parameter, and the two things an optimizer may remember of it.

    Rows of a matrix are `ld` elements apart, and panels `panel` (`kernels.product.panels`), which
    is 0 for one matrix; `span` elements are all of them.
    """

    address: int
    span: int
    ld: int
    panel: int
    memories: list[int]

    @classmethod
    def of(cls, parameter: Parameter) -> Place:
        """Where Python sees a parameter."""
        return cls(parameter.address, parameter.span, parameter.memory_shape[-1], 0, [0, 0])

    @property
    def matrix(self) -> tuple[int, int, int]:
        """Address and distances, as instructions take those of a matrix."""
        return self.address, self.ld, self.panel


@dataclass
class Builder:
    """Collects instructions, and hands out the memory that they work on."""

    batch: int
    dtype: np.dtype
    threads: int
    rows: list[list[int]] = field(default_factory=list)
    borrowed: list[list[int]] = field(default_factory=list)
    places: dict[int, Place] = field(default_factory=dict)
    kept: list[np.ndarray] = field(default_factory=list)
    widest: int = 0
    """Inputs or outputs at most of a linear layer, which needs scratch memory."""

    def __post_init__(self) -> None:
        self._real = real_type(self.dtype)
        self._next = self._left = 0  # address of the arena's next free byte, and how many are left

    def take(self, elements: int, dtype=None) -> int:
        """Address of fresh memory for so many elements."""
        dtype = np.dtype(dtype or self.dtype)
        size = padded(elements, dtype) * dtype.itemsize
        if size > _SMALL:
            return self.keep(aligned_zeros(size, np.uint8))
        if size > self._left:
            self._next, self._left = self.keep(aligned_zeros(_ARENA, np.uint8)), _ARENA
        place = self._next
        self._next, self._left = place + size, self._left - size
        return place

    def block(self, columns: int, activation: int = _IDENTITY) -> Block:
        """Fresh memory for a batch."""
        ld = leading_dimension(columns, self.dtype)
        return Block(self.take(self.batch * ld), columns, ld, activation)

    def block_in_panels(self, columns: int, activation: int = _IDENTITY) -> Block:
        """Fresh memory for a batch, in panels where threads split its columns."""
        count, ld, panel = panels.of_threads(self.batch, columns, self.dtype, self.threads)
        if count == 1:
            return self.block(columns, activation)
        return Block(self.take(count * panel), columns, ld, activation, panel)

    def keep(self, array: np.ndarray) -> int:
        """Address of an array that is to live as long as the program."""
        self.kept.append(array)
        return address(array)

    def emit(self, kind: Routine, *operands: int, wait: bool = True) -> None:
        """Add an instruction; `wait` says that all threads finish it before the next."""
        self.rows.append(self._row(kind, *operands, wait=wait))

    def _row(self, kind: Routine, *operands: int, wait: bool) -> list[int]:
        row = [kind.address(self._real), int(wait), *operands]
        return row + [0] * (epoch.COLUMNS - len(row))

    def borrow(self, owner: int, rows: int, columns: int, ld: int, learned: bool) -> int:
        """Have a copy of a matrix, in panels, while the program runs; give its address.

        What is `learned` is given back only if all of it is finite.
        """
        count, elements = panels.sizes(rows, columns, self.dtype)
        place = self.take(count * elements)
        finite = count * elements if learned else 0
        self.borrowed.append([rows, columns, owner, ld, place, elements, finite])
        return place

    def borrow_row(self, owner: int, columns: int, learned: bool) -> int:
        """As `borrow`, for numbers that lie in a row here and there."""
        return self.borrow(owner, 1, columns, columns, learned)

    def learn(self, parameter: Parameter, optimizer: Optimizer | None, columns: int = 0) -> Place:
        """Borrow a parameter and what is remembered of it, unless no optimizer knows it.

        With `columns`, those of its matrix, it is borrowed in panels.
        """
        if optimizer is None or not optimizer.knows(parameter):
            return Place.of(parameter)
        if id(parameter) not in self.places:
            self.places[id(parameter)] = self._learn(parameter, optimizer, columns)
        return self.places[id(parameter)]

    def _learn(self, parameter: Parameter, optimizer: Optimizer, columns: int) -> Place:
        ld, span = parameter.memory_shape[-1], parameter.span
        rows = parameter.memory_shape[0] if columns else 1
        owners = parameter.address, *optimizer.memory_addresses(parameter)
        address, *memories = (
            self.borrow(each, rows, columns or span, ld, learned=i == 0) if each else 0
            for i, each in enumerate(owners)
        )
        if not columns:
            return Place(address, span, ld, 0, memories)
        count, elements = panels.sizes(rows, columns, self.dtype)
        return Place(address, count * elements, panels.span_of(self.dtype), elements, memories)

    def ends(self) -> tuple[list[list[int]], list[list[int]]]:
        """Instructions that open the program, and those that close it."""
        table = self.keep(np.array(self.borrowed, np.int64))
        notes = self.keep(np.zeros(self.threads, np.int64))
        operands = len(self.borrowed), table, notes
        opening, *closing = (
            self._row(kind, *operands, wait=True)
            for kind in (borrowed.borrow, borrowed.check, borrowed.give_back)
        )
        return [opening], closing

    def through_activation(self, gradient: Block, output: Block) -> Block:
        """The gradient before a block's activation, from the one after it."""
        if output.activation != _IDENTITY:
            self.emit(
                instructions.activation_gradient, output.activation, output.columns,
                *output.place, *gradient.place, *gradient.place,
            )  # fmt: skip
        return gradient
