"""Every threshold that chooses how a product is computed, with the measurement that set it.

A figure is the time without the choice divided by the time with it, on one core in float32: above
1, the choice pays. A shape such as 64x1500x1500 is rows x inputs x outputs of a product; one such
as 10-100-2 is the columns of a network whose training step is timed. The processors are Zen 4
(32 KB L1 caches of 8 lines a set, 1 MB L2) and Sapphire Rapids (48 KB of 12 lines, 2 MB). Figures
that name no processor are of Sapphire Rapids.
"""

from __future__ import annotations

from kernels.base import host

# ------------------------------------------------------------------- products of few outputs

NARROW = 2
"""Most outputs whose products are summed lane by lane, and whose input gradient uses no tile.

Sums by lanes: 64x784x2 2.21, 64x100x2 1.42, 1000x64x1 2.64; 10-100-2 1.15, 20-30-1 1.15.
Input gradient without a tile: 10-100-2 1.08, 20-30-2 with single rows 1.08, 20-30-1 1.04.
"""

DEEP = 2048
"""Most inputs of a product summed lane by lane: its weights are first copied to scratch memory.

It bounds the scratch memory; no layer that was timed comes near it.
"""

FEW = 16
"""Most outputs of a layer whose products are summed in halves of its inputs.

On two threads, which then share the weights instead of the rows: 64-500-10 1.67, 784-128-10 1.20,
10-100-2 1.25. One thread sums the same halves, so that threads do not change a bit: it costs 0.92
to 1.00.
"""

THIN = 4
"""Most rows of a batch whose weight gradient is computed as a sum of outer products.

784-128-10 with 1 row 1.15, with 4 rows 1.12.
"""

WIDE_ROWS = 4
"""Most rows of a batch that are multiplied in tiles of many columns, whose sums are independent.

Predictions of 784-128-10 with 1 row 1.3, with 4 rows 1.13; of 128-512-512-32 1.6 and 1.3. Training
steps of 784-128-10 with 1 row 1.06, with 4 rows 1.03.
"""

TURNED_PANELS = 4
"""Columns, in widths of a tile, of the block in which a product is computed as its transpose.

A transposed, few columns: 100x64x2 1.69, 500x20x4 1.65, 300x64x10 1.16. Weight gradients of few
outputs: 10-100-2 1.12, 20-30-1 1.06, 784-10 1.05, 300-300-5 1.06.
"""

# --------------------------------------------------------------------------------- packing

WIDE = 8
"""Tiles in a row of C from which packing a transposed A pays.

512x512x512 1.10, 1024x256x1024 1.22, 784x64x512 1.01.
"""

SAME_SET, WAYS = 4096, 8
"""Bytes between cache lines of one set of an L1 cache, and lines in a set.

More rows of A than lines, a multiple of that distance apart, evict each other, so A is packed.
Zen 4: 14x1024x1024 1.35, 64x1024x128 1.14, 500x2048x96 1.17. Sapphire Rapids, whose sets hold more:
1.09, 0.85, 0.85.
"""

UNPACKED_TILES, UNPACKED_TILES_OF_LARGE, LARGE = 3, 10, 32768
"""Most tiles of rows for which B is not packed; the second if B has more than `LARGE` elements.

Up to three tiles: 64x784x2 1.36, 14x1024x1024 1.06. Zen 4, up to ten: 64x1500x1500 1.6,
64x1024x1024 1.12; Sapphire Rapids needs `UNPACKED_DEPTH` for that.
"""

UNPACKED_DEPTH, FAR_ROWS = 320, 2048
"""Rows at a time of a B that is not packed, if its rows are at least so many bytes apart.

A panel of it then lies in few enough pages and cache lines for the next tile to find it there:
64x1500x1500 1.43, 64x1024x1024 1.83, 128x700x700 1.19, 32x784x512 1.17. With rows closer together
it costs: 64x784x128 0.94.
"""

# ------------------------------------------------------------------------------ block sizes

HALVES = host.VECTOR_BYTES == 64
"""True if a tile may end in half a vector: some processors split a vector of AVX-512 in two.

Zen 4, 100 columns: 1.04 to 1.08. Sapphire Rapids: 64x784x128 1.09, 200x200x200 1.03,
64-100-10 0.97.
"""

PANEL_DEPTH = 1024
"""Rows of B packed at a time: with many, C is seldom read and written again.

Against 320, Zen 4: squares of 1024 and 2048 1.05 to 1.08. Sapphire Rapids: 512x512x512 0.97 to
1.00, 500x2048x96 1.00.
"""

BLOCK_PANELS = 16
"""Panels of B packed at a time, a tile wide each: a packed tile of A is used for all of them."""

BLOCK_ROWS = 9 * host.TILE_ROWS
"""Rows of a weight gradient's block, which fills half a 32 KB L1 cache with a panel's width."""

PART_ROWS = 112
"""Rows of a batch whose halves are summed at a time: both in float32 fill half an L1 cache."""

# ---------------------------------------------------------------------------------- threads

LARGE_PRODUCT = 500_000
"""Multiply-adds from which a team pays for a product called from Python."""

LARGE_PASS = 2_000_000
"""Multiply-adds from which a team pays for a network's rows, in a loop of such calls.

64-100-10 with 128 rows 1.2, 256 rows 1.4; but 784-128-10 with 8 rows 0.8, 32 rows 1.05.
"""

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
