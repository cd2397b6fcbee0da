"""Which way a product is computed, and in what pieces: every threshold, and what set it.

Figures are ratios of times, without the choice over with it, on one core in float32 unless they
say otherwise.
"""

from __future__ import annotations

from kernels.base import host

# ------------------------------------------------------------------- products of few outputs

NARROW = 2
"""Most outputs that are summed lane by lane of the inputs, and whose input gradient needs no tile.
"""

DEEP = 2048
"""Most inputs of such a product: their weights are copied to scratch memory first."""

FEW = 16
"""Most outputs of a layer that sums its products in parts, of threads' own inputs."""

THIN = 4
"""Most rows of a batch whose weight gradient is a sum of outer products, without tiles."""

TURNED_PANELS = 4
"""Tiles' widths computed at a time of a product whose transpose is computed, and turned then."""

# --------------------------------------------------------------------------------- packing

WIDE = 8
"""Tiles in a row of C from which packing A pays for itself."""

SAME_SET, WAYS = 4096, 8
"""Bytes between lines of one set of an L1 cache, and lines of a set.

More rows of A that lie so far apart push each other out of it, and are packed.
"""

UNPACKED_TILES, UNPACKED_TILES_OF_LARGE, LARGE = 3, 10, 32768
"""Tiles of rows for which B is read where it lies, and where it has more elements than these."""

PACKED = 65536
"""Elements of A packed for a block of a weight gradient: a quarter of an L2 cache of 1 MB."""

# ------------------------------------------------------------------------------ block sizes

HALVES = host.VECTOR_BYTES == 64
"""Whether half a vector may take half the time: some processors split those of AVX-512."""

PANEL_DEPTH = 1024
"""Rows of B packed at a time: C is then seldom read and written again."""

BLOCK_PANELS = 16
"""Tile-wide panels of B packed at a time, in which a packed tile of A is used again."""

BLOCK_ROWS = 9 * host.TILE_ROWS
"""Rows of a weight gradient's block: with a panel's width, half an L1 cache of 32 KB."""

PART_ROWS = 112
"""Rows of a batch whose parts are summed at a time: two parts of float32 are half an L1 cache."""

# ---------------------------------------------------------------------------------- threads

LARGE_PRODUCT = 500_000
"""Multiply-adds from which a team pays for a product that Python calls."""

BLOCKS_PER_THREAD = 4
"""Blocks of a weight gradient for each thread: a narrower last panel is then little."""

MANY_ROWS, FEW_ROWS = 128, 4
"""Rows for each thread from which threads split rows, and below which they split columns.

Packing B for many is little beside the product; a tile of few is mostly loading B.
"""

FAR = 512
"""Bytes of a row for each thread from which its prefetcher leaves another one's part alone."""

APART, FAR_APART = 16, 512
"""Cache lines between panels of weights and of a batch: as far as prefetchers run on."""
