"""`python -m fastnn` is the `fastnn` command."""

from fastnn.cli import main

main()
