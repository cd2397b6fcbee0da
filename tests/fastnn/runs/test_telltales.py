import numpy as np
import pytest
from sklearn import datasets

from fastnn.data.dataset import Dataset
from fastnn.data.tables.columns import Category, Number
from fastnn.data.tables.schema import Schema
from fastnn.data.tables.splits import mixed_order
from fastnn.data.tables.target import Target
from fastnn.runs.telltales import telltales

RNG = np.random.default_rng(0)
N = 400


def remarks(y, target="y", **columns):
    """The remarks on a table: columns of numbers, or of texts, in the order of the file."""
    kinds = {
        name: tuple(sorted(set(each))) if each.dtype.kind == "U" else None
        for name, each in columns.items()
    }
    described = tuple(
        Number(name) if kinds[name] is None else Category(name, None, kinds[name])
        for name in columns
    )
    x = np.zeros((len(y), sum(each.width for each in described)), np.float32)
    place = 0
    for each in described:
        values = columns[each.name]
        if each.texts:
            values = np.array(each.codes(values.tolist()))
        each.write(values, x[:, place : place + each.width])
        place += each.width
    classes = tuple(sorted(set(y))) if y.dtype.kind == "U" else ()
    y = np.searchsorted(classes, y) if classes else y.astype(np.float64)
    order = mixed_order(y, 0)
    train, test = np.split(order, [round(0.8 * len(y))])
    schema = Schema(described, Target(target, "classification" if classes else "regression"))
    parts = x[train], y[train], x[test], y[test]
    return telltales(Dataset("t", *parts, classes, schema=schema))


NOISE = RNG.normal(size=N)
KIND = RNG.choice(["cat", "dog", "owl"], N)
PRICE = RNG.lognormal(10, 1, N)


@pytest.mark.parametrize("rows", [60, 150, 400, 5000])
def test_an_index_of_sorted_rows(rows):
    kinds = np.sort(RNG.choice(["cat", "dog", "owl"], rows))
    columns = {"Unnamed: 0": np.arange(rows), "noise": RNG.normal(size=rows)}
    assert remarks(kinds, "kind", **columns) == [
        "`Unnamed: 0` alone predicts `kind`: is it an index?"
    ]


def test_an_index_of_sorted_numbers():
    found = remarks(np.sort(PRICE), id=np.arange(1, N + 1), noise=NOISE)
    assert found == ["`id` alone predicts `y`: is it an index?"]


@pytest.mark.parametrize(
    "answer",
    {
        "code": np.searchsorted(["cat", "dog", "owl"], KIND) * 7.5,
        "text": np.char.upper(KIND),
        "place": np.char.add(KIND, (np.arange(N) % 9).astype(str)),
        "number": (KIND == "cat") * 3 + (KIND == "owl") + RNG.random(N),
    }.items(),
    ids=lambda each: each[0],
)
def test_a_column_that_holds_the_class(answer):
    found = remarks(KIND, "kind", noise=NOISE, answer=answer[1])
    assert found == ["`answer` alone predicts `kind`: does it hold the answer?"]


@pytest.mark.parametrize(
    "answer",
    {"scaled": PRICE * 0.7 + 3, "log": np.log(PRICE), "digits": np.round(PRICE, -2)}.items(),
    ids=lambda each: each[0],
)
def test_a_column_that_holds_the_number(answer):
    found = remarks(PRICE, noise=NOISE, answer=answer[1])
    assert found == ["`answer` alone predicts `y`: does it hold the answer?"]


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes", "digits"])
def test_nothing_is_said_of_honest_tables(name):
    data = getattr(datasets, f"load_{name}")()
    y = data.target if name == "diabetes" else data.target_names[data.target].astype(str)
    columns = {f"x{place}": each for place, each in enumerate(data.data.T)}
    index = RNG.permutation(len(y))
    assert remarks(y, index=index, constant=np.ones(len(y)), **columns) == []


def test_an_outlier_that_is_all_variance_is_not_told_by_a_column():
    price = PRICE.copy()
    price[7] = 1e12
    assert remarks(price, noise=NOISE, index=np.arange(N)) == []


@pytest.mark.parametrize(
    ("y", "columns"),
    [
        (KIND, {"answer": np.char.upper(KIND)}),  # the only column
        (KIND[:40], {"answer": np.char.upper(KIND[:40]), "noise": NOISE[:40]}),  # few rows
        (np.where(np.arange(N) == 3, "odd", "even"), {"a": NOISE, "b": PRICE}),
        (np.ones(N), {"a": NOISE, "b": PRICE}),
    ],
)
def test_nothing_is_said_where_there_is_little_to_tell(y, columns):
    assert remarks(y, **columns) == []


def test_texts_of_their_own_for_each_row_tell_nothing():
    assert remarks(KIND, name=np.arange(N).astype(str), noise=NOISE) == []
