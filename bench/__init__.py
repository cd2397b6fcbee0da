"""The benchmark suite: fastnn beside its peers, on this machine.

    pip install ".[bench]"
    fastnn bench

or `pytest bench` measures every group in some 25 minutes; `pytest bench/test_training.py`
or `fastnn bench training` one of them. Each test's figures are added to
`bench/results/latest.json` as soon as it ends, with the machine, the versions and the
date; a group measured again takes the place of its old figures. At the end tables
(`latest.md`) and pictures are made from it, and `python -m bench.readme` brings README's
table up to date. The suite fails only when a result is wrong, never because one is slow;
a peer that is missing or fails is left out, and the report says why.

`--quick` takes a few sizes and rounds, for trying the suite itself, and writes
`quick.json`; `--peers torch,jax` compares with those alone; `--fresh` forgets earlier
results; `--results` names another folder. MNIST comes from `FASTNN_DATA` or is downloaded.

Each library runs in a process of its own (`bench.worker`), at its best number of threads,
and all take turns of a few milliseconds: a figure is the median over these rounds of a
ratio within a round, so a machine that is slow for a while is slow for all
(`bench.measure`). How a library trains is in its file of `bench.learners`, what else it
does in its file of `bench.peers`; whole runs are processes of their own
(`bench.whole_run`). What is measured, and its target, is in the test files.
"""
