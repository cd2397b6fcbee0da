"""The benchmark suite: fastnn beside its peers, on this machine.

    pip install ".[bench]"
    pytest bench

prints a table of every figure beside its target, and writes it with the machine, the
versions and the date to `bench/results/latest.json` and `latest.md`. It fails only when
a result is wrong, never because one is slow. MNIST, whose memory is measured, comes from
`FASTNN_DATA` or is downloaded. `--quick` takes a few sizes and rounds, for trying the
suite itself, and writes `quick.json` and `quick.md`; `--results` names another folder.

Each library runs in a process of its own (`bench.worker`), and all take turns of a few
milliseconds: a figure is the median over these rounds of a ratio within a round, so a
machine that is slow for a while is slow for all (`bench.measure`). What a library does is
in its file of `bench.peers`; what is measured, and its target, in the test files.
"""
