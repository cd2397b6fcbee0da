import pytest

from fastnn.data.tables.reading import MISSING_TEXTS, Reading


def test_usual_texts_stand_for_nothing_unless_others_are_named():
    assert Reading().texts == MISSING_TEXTS
    assert "" in MISSING_TEXTS
    assert Reading(missing=["-"]).texts == ("", "-")
    assert Reading(missing=[]).texts == ("",)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"delimiter": ""}, "delimiter is ''; expected one letter"),
        ({"delimiter": ", "}, "delimiter is ', '"),
        ({"delimiter": '"'}, "delimiter is '\"'"),
        ({"delimiter": 3}, "delimiter is 3"),
        ({"comment": "//"}, "comment is '//'; expected one letter"),
        ({"decimal": ";"}, "decimal is ';'; expected one of '.' ','"),
        ({"decimal": ""}, "decimal is ''"),
        ({"thousands": "_"}, "thousands is '_'"),
        ({"decimal": ",", "thousands": ","}, "decimal and thousands are both ','"),
        ({"missing": "NA"}, "missing is 'NA'; expected a list of texts"),
        ({"missing": [0]}, r"missing is \[0\]"),
        ({"encoding": "klingon"}, "encoding is 'klingon'; expected one that Python knows"),
        ({"encoding": 8}, "encoding is 8"),
    ],
)
def test_signs_that_cannot_be(wrong, message):
    with pytest.raises(ValueError, match=message):
        Reading(**wrong)
