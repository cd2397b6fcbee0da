"""Tables for tests: read from texts, and as lists of cells."""

import numpy as np

from fastnn.data.tables.arrays import Arrays
from fastnn.data.tables.reading import Reading
from fastnn.data.tables.sources import open_source


def source(content, **reading):
    """Return the source of texts, bytes or anything else that `load` takes."""
    content = content.encode() if isinstance(content, str) else content
    return open_source(content, "rows.csv", Reading(**reading))


def table(content, texts=(), columns=None, **reading):
    """Return the table of what `source` takes."""
    return source(content, **reading).table(columns, texts)


def cells(table):
    """Return the cells of a table as lists by name, None where one is missing."""
    if isinstance(table, Arrays):
        found = {name: table.keys(name).tolist() for name in table.names}
    else:
        rows = table.connection.execute("SELECT * FROM cells ORDER BY rowid").fetchall()
        found = {name: [row[i] for row in rows] for i, name in enumerate(table.names)}
    return {name: [None if each != each else each for each in found[name]] for name in found}


def texts(content, **reading):
    """Return all cells of a table, read as texts."""
    opened = source(content, **reading)
    return cells(opened.table(None, opened.names))


def written(path, **columns):
    """Write columns to a CSV file as they are, and return its path."""
    names, rows = list(columns), zip(*columns.values(), strict=True)
    lines = [",".join(names), *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def holed(values, *places):
    """Return values with nothing in some places."""
    return ["" if place in places else each for place, each in enumerate(np.asarray(values))]
