"""Every threshold that chooses how a product is computed, with the measurement that set it.

A figure is the time without the choice divided by the time with it, on one core in float32 unless
it says otherwise.
"""

from __future__ import annotations

from kernels.base import host

# ------------------------------------------------------------------- products of few outputs

NARROW = 2
"""Most outputs whose products are summed lane by lane, and whose input gradient uses no tile."""

DEEP = 2048
"""Most inputs of a product summed lane by lane: its weights are first copied to scratch memory."""

FEW = 16
"""Most outputs of a layer whose products are summed in halves of its inputs."""

THIN = 4
"""Most rows of a batch whose weight gradient is computed as a sum of outer products."""

TURNED_PANELS = 4
"""Columns, in widths of a tile, of the block in which a product is computed as its transpose."""

# --------------------------------------------------------------------------------- packing

WIDE = 8
"""Tiles in a row of C from which packing A pays."""

SAME_SET, WAYS = 4096, 8
"""Bytes between cache lines of one set of an L1 cache, and lines in a set.

More rows of A than lines, a multiple of that distance apart, evict each other, so A is packed.
"""

UNPACKED_TILES, UNPACKED_TILES_OF_LARGE, LARGE = 3, 10, 32768
"""Most tiles of rows for which B is not packed; the second if B has more than `LARGE` elements."""

PACKED = 65536
"""Most packed elements of A for a block of a weight gradient: a quarter of a 1 MB L2 cache."""

# ------------------------------------------------------------------------------ block sizes

HALVES = host.VECTOR_BYTES == 64
"""True if a tile may end in half a vector: some processors split a vector of AVX-512 in two."""

PANEL_DEPTH = 1024
"""Rows of B packed at a time: with many, C is seldom read and written again."""

BLOCK_PANELS = 16
"""Panels of B packed at a time, a tile wide each: a packed tile of A is used for all of them."""

BLOCK_ROWS = 9 * host.TILE_ROWS
"""Rows of a weight gradient's block, which fills half a 32 KB L1 cache with a panel's width."""

PART_ROWS = 112
"""Rows of a batch whose halves are summed at a time: both in float32 fill half an L1 cache."""

# ---------------------------------------------------------------------------------- threads

LARGE_PRODUCT = 500_000
"""Multiply-adds from which a team pays for a product called from Python."""

BLOCKS_PER_THREAD = 4
"""Blocks of a weight gradient for each thread, so that a narrower last panel matters little."""

MANY_ROWS, FEW_ROWS = 128, 4
"""Rows for each thread from which threads split rows, and below which they split columns.

With many rows, packing B takes little of the product's time; with few, a tile mostly loads B.
"""

FAR = 512
"""Bytes of a row for each thread from which prefetchers stay out of the neighbour's part."""

APART, FAR_APART = 16, 512
"""Cache lines between panels of weights and of a batch, which prefetchers do not run across."""
