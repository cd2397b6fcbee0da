"""The benchmark suite: fastnn compared with its peers on this machine.

    pip install ".[bench]"
    fastnn bench

or `pytest bench` measures all groups in some 25 minutes; `pytest bench/test_training.py`
or `fastnn bench training` measures one group. The figures of each test are added to
`bench/results/latest.json` as soon as it ends, with the machine, the versions and the
date; new figures replace old ones. At the end tables (`latest.md`) and pictures are made
from the file; `python -m bench.readme` updates README's table. The suite fails only when a
result is wrong, never because one is slow; a peer that is missing or fails is left out,
and the report says why.

`--quick` takes a few sizes and rounds, for trying the suite itself, and writes
`quick.json`; `--peers torch,jax` compares only with these; `--fresh` discards earlier
results; `--results` names another folder. MNIST comes from `FASTNN_DATA` or is downloaded.

Each library runs in its own process (`bench.worker`) with its best number of threads, and
all take turns of a few milliseconds: a figure is the median over rounds of a ratio within
a round, so slow phases of the machine affect all sides (`bench.measure`). Each library's
training is in its file of `bench.learners`, its other operations in its file of
`bench.peers`; whole runs have their own processes (`bench.whole_run`). The test files say
what is measured, and the targets.
"""
