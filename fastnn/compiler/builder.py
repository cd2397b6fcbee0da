"""The builder of programs, which collects instructions and allocates their memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kernels.base.jit import real_type
from kernels.base.memory import (
    address,
    aligned_zeros,
    leading_dimension,
    line_elements,
    padded,
)
from kernels.functions.activations import IDENTITY
from kernels.instructions import borrowing
from kernels.instructions import linear as instructions
from kernels.machine import interpreter
from kernels.machine.instruction import Instruction
from kernels.product import panels

_SMALL, _ARENA = 2**15, 2**17  # bytes: smaller allocations share an arena of this size
_APART = 5  # cache lines between memories, so that they do not compete for one cache set


@dataclass(frozen=True)
class Block:
    """A batch of rows in memory: its address, columns and leading dimension.

    Where `panel` is not 0, the columns lie in panels that begin `panel` elements apart
    (`kernels.product.panels`). `activation` is the function that the block's producer applied
    last; the instruction that computes the block's gradient multiplies by its derivative.
    """

    pointer: int
    columns: int
    ld: int
    activation: int = IDENTITY
    panel: int = 0


@dataclass(frozen=True)
class Copy:
    """A program's copy of a matrix, in panels of `ld` columns that begin `panel` elements apart."""

    pointer: int
    ld: int
    panel: int
    size: int


@dataclass
class Builder:
    """A program under construction: its instructions, and the memory that they work on."""

    batch: int
    dtype: np.dtype
    threads: int
    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    """Arrays of samples by name, for which others may be bound later (`Program.bind`)."""
    rows: list[list[int]] = field(default_factory=list)
    borrowed: list[list[int]] = field(default_factory=list)
    kept: list[Any] = field(default_factory=list)
    widest: int = 0
    """Largest number of inputs or outputs of a linear layer, which sets the size of the scratch."""

    def __post_init__(self) -> None:
        self.real = real_type(self.dtype)
        self._next = self._left = 0  # address of the arena's next free byte, and the bytes left

    # ---------------------------------------------------------------------- memory

    def take(self, elements: int, dtype=None) -> int:
        """Return the address of new, zeroed memory for `elements` numbers."""
        dtype = np.dtype(dtype or self.dtype)
        size = padded(elements, dtype) * dtype.itemsize
        if size > _SMALL:
            return self.keep(aligned_zeros(size, np.uint8))
        if size > self._left:
            self._next, self._left = self.keep(aligned_zeros(_ARENA, np.uint8)), _ARENA
        place = self._next
        self._next, self._left = place + size, self._left - size
        return place

    def block(self, columns: int, activation: int = IDENTITY) -> Block:
        """Return new memory for a batch."""
        ld = leading_dimension(columns, self.dtype)
        return Block(self.take(self.batch * ld), columns, ld, activation)

    def block_in_panels(self, columns: int, activation: int = IDENTITY) -> Block:
        """Return new memory for a batch, in panels where the threads share out its columns."""
        count, ld, panel = panels.of_threads(self.batch, columns, self.dtype, self.threads)
        if count == 1:
            return self.block(columns, activation)
        return Block(self.take(count * panel), columns, ld, activation, panel)

    def view(self, block: Block) -> np.ndarray:
        """Return the rows of a block, as an array that keeps their memory alive."""
        for memory in reversed(self.kept):
            begin = block.pointer - address(memory)
            if memory.dtype == np.uint8 and 0 <= begin < memory.nbytes:
                size = self.batch * block.ld * self.dtype.itemsize
                rows = memory[begin : begin + size].view(self.dtype).reshape(self.batch, block.ld)
                return rows[:, : block.columns]
        raise ValueError("the block is not of this builder")

    def keep(self, array: np.ndarray) -> int:
        """Keep an array alive as long as the program, and return its address."""
        self.kept.append(array)
        return address(array)

    def input(self, name: str) -> int:
        """Return the address of an array of samples."""
        return address(self.inputs[name])

    # ---------------------------------------------------------------- instructions

    def emit(self, kind: Instruction, *, wait: bool = True, **operands: Any) -> None:
        """Add an instruction; with `wait`, all threads finish it before any begins the next.

        Arrays among the operands are kept alive. Raises TypeError for an operand that the
        instruction does not declare, and for a missing one.
        """
        self.rows.append(self._row(kind, operands, wait))

    def wait(self) -> None:
        """Make all threads finish the last instruction before any begins the next."""
        self.rows[-1][interpreter.WAIT] = 1

    def _row(self, kind: Instruction, operands: Mapping[str, Any], wait: bool) -> list[int]:
        given = {
            name: self.keep(value) if isinstance(value, np.ndarray) else value
            for name, value in operands.items()
        }
        return [kind.address(self.real), int(wait), *kind.row(given)]

    # -------------------------------------------------------------------- borrowing

    def borrow(
        self,
        owner: np.ndarray,
        rows: int,
        columns: int,
        ld: int,
        learned: bool,
        memories: list[np.ndarray],
    ) -> tuple[Copy, Copy]:
        """Copy a matrix and the memories of the same layout into panels while the program runs.

        The copies of memories lie evenly apart. Nothing is copied back unless all numbers of
        `learned` matrices are finite. Returns the copy of the matrix and that of the first memory,
        whose `size` is the distance between memories.
        """
        count, elements = panels.sizes(rows, columns, self.dtype)
        size = count * elements
        apart = size + _APART * line_elements(self.dtype)
        first, memory = self.take(size), self.take(apart * len(memories))
        places = [memory + i * apart * self.dtype.itemsize for i in range(len(memories))]
        for each, place in zip([owner, *memories], [first, *places], strict=True):
            finite = size if learned and each is owner else 0
            self.borrowed.append([rows, columns, self.keep(each), ld, place, elements, finite])
        span = panels.span_of(self.dtype)
        return Copy(first, span, elements, size), Copy(memory or first, span, elements, apart)

    def ends(self) -> tuple[list[list[int]], list[list[int]]]:
        """Return the instructions that copy borrowed matrices in, and those that copy them back."""
        operands = {
            "count": len(self.borrowed),
            "table": self.keep(np.array(self.borrowed, np.int64)),
            "notes": self.keep(np.zeros(self.threads, np.int64)),
        }
        opening, *closing = (
            self._row(kind, operands, wait=True)
            for kind in (borrowing.borrow, borrowing.check, borrowing.give_back)
        )
        return [opening], closing

    def through_activation(self, gradient: Block, output: Block) -> Block:
        """Multiply a gradient by the derivative of the activation of `output`, and return it."""
        if output.activation != IDENTITY:
            self.emit(
                instructions.activation_gradient,
                activation=output.activation,
                columns=output.columns,
                y=output,
                g=gradient,
                out=gradient,
            )
        return gradient
