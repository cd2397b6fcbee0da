"""What stages emit a program into: its instructions, and the arena that they work on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

import kernels
from kernels import epoch, instructions, panels
from kernels.jit import Routine, real_type
from kernels.memory import address, leading_dimension, padded

_IDENTITY = kernels.ACTIVATIONS["identity"]


@dataclass(frozen=True)
class Block:
    """A batch of rows in the arena: where it begins, its columns, and how far rows are apart.

    With a `panel` other than 0 the columns lie in panels, which begin so many elements apart
    (`kernels.panels`). `activation` is the function its producer applied last, whose gradient
    is still to be taken by whoever computes the gradient of this block.
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


@dataclass
class Builder:
    """Collects instructions, and hands out the arena from its base address on."""

    batch: int
    dtype: np.dtype
    threads: int
    base: int
    rows: list[list[int]] = field(default_factory=list)
    opening: list[list[int]] = field(default_factory=list)
    closing: list[list[int]] = field(default_factory=list)
    kept: list[np.ndarray] = field(default_factory=list)
    taken: int = 0

    def __post_init__(self) -> None:
        self._real = real_type(self.dtype)

    def take(self, elements: int, dtype=None) -> int:
        """Address of fresh memory for so many elements."""
        dtype = np.dtype(dtype or self.dtype)
        place = self.base + self.taken
        self.taken += padded(elements, dtype) * dtype.itemsize
        return place

    def block(self, columns: int, activation: int = _IDENTITY) -> Block:
        """Fresh memory for a batch."""
        ld = leading_dimension(columns, self.dtype)
        return Block(self.take(self.batch * ld), columns, ld, activation)

    def block_in_panels(self, columns: int) -> Block:
        """Fresh memory for a batch, in panels where threads split its columns."""
        count, ld = panels.of_threads(self.batch, columns, self.dtype, self.threads)
        if count == 1:
            return self.block(columns)
        elements = self.batch * ld
        return Block(self.take(count * elements), columns, ld, panel=elements)

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

    def panelled(self, inputs: int, outputs: int, ld: int, matrix: int) -> int:
        """Panels of a matrix like a weight, for a run of the program; give their address."""
        count, elements = panels.sizes(inputs, outputs, self.dtype)
        place = self.take(count * elements)
        operands = inputs, outputs, matrix, ld, place, elements
        for rows, back in ((self.opening, 0), (self.closing, 1)):
            rows.append(self._row(instructions.copy_panels, *operands, back, wait=True))
        return place

    def through_activation(self, gradient: Block, output: Block) -> Block:
        """The gradient before a block's activation, from the one after it."""
        if output.activation != _IDENTITY:
            self.emit(
                instructions.activation_gradient, output.activation, output.columns,
                *output.place, *gradient.place, *gradient.place,
            )  # fmt: skip
        return gradient
