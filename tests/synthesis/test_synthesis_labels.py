"""Labels as users write them: indices and numbers out, one sentence for anything else."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import UserError
from synthesis.labels import LARGEST, clean, drawn_labels, label_rows, number, parse_labels

KNOWN = {
    "genre": {"values": ["folk", "hip hop", "jazz"]},
    "tempo": {"mean": 118.2, "std": 21.5},
    "mood": {"values": ["a=b"]},
}
texts = st.text(min_size=1, max_size=20).map(clean).filter(bool)
names = texts.filter(lambda name: "=" not in name)
vocabularies = st.dictionaries(
    names,
    st.one_of(
        st.lists(texts, min_size=1, max_size=5, unique=True).map(lambda values: {"values": sorted(values)}),
        st.just({"mean": 0.0, "std": 1.0}),
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize(
    "given_, expected",
    [
        ([], {}),
        (["genre=jazz", "tempo=120"], {"genre": 2.0, "tempo": 120.0}),
        (["tempo=-1.5e2"], {"tempo": -150.0}),
        ([" genre =  hip   hop "], {"genre": 1.0}),
        (["mood=a=b"], {"mood": 0.0}),
    ],
)
def test_labels_are_indices_and_numbers(given_, expected):
    labels = parse_labels(given_, KNOWN)
    assert labels == expected and all(type(value) is float for value in labels.values())


@pytest.mark.parametrize(
    "given_, complaint",
    [
        (["genr=jazz"], "no label 'genr'; did you mean 'genre'?"),
        (["GENRE=jazz"], "did you mean 'genre'?"),
        (["genre=jaz"], "no value 'jaz'; did you mean 'jazz'? (known: folk, hip hop, jazz)"),
        (["genre=Jazz"], "did you mean 'jazz'?"),
        (["genre="], "no value ''"),
        (["=jazz"], "no label ''"),
        (["jazz"], "needs a value, such as genre=jazz"),
        (["tempo"], "needs a value, such as tempo=118.2"),
        (["nonsense"], "needs a value, such as genre=folk"),
        (["tempo=fast"], "takes a number, not 'fast'; tempo=118.2 is usual"),
        (["tempo=nan"], "takes a number"),
        (["tempo=inf"], "takes a number"),
        (["tempo=1_0"], "takes a number"),
        (["tempo=1,5"], "takes a number"),
        (["tempo=1e999"], "takes a number"),
        (["genre=jazz", "genre=folk"], "genre is given twice"),
    ],
)
def test_what_is_not_known_is_one_sentence(given_, complaint):
    with pytest.raises(UserError) as caught:
        parse_labels(given_, KNOWN)
    assert complaint in str(caught.value) and "\n" not in str(caught.value)


samples = st.lists(
    st.fixed_dictionaries({"genre": st.sampled_from([0.0, 1.0, 2.0, float("nan")]), "tempo": st.floats(60, 200)}),
    max_size=9,
)


@given(samples, st.dictionaries(st.sampled_from(["genre", "tempo"]), st.sampled_from([0.0, 1.0, 2.0])), st.integers(0))
def test_what_is_drawn_is_a_sample_that_agrees(labels, asked, number_):
    rows = label_rows(labels, KNOWN)
    assert rows["mood"] == [None] * len(labels) and all(len(column) == len(labels) for column in rows.values())
    drawn = drawn_labels(asked, rows, KNOWN, number_)
    fixed = {name: value for name, value in asked.items() if name == "genre"}
    agreeing = [one for one in labels if all(one[name] == value for name, value in fixed.items())]
    candidates = [{name: x for name, x in one.items() if x == x} | asked for one in agreeing]
    assert drawn == (candidates[number_ % len(candidates)] if candidates else asked)


def test_a_generator_without_labels_says_so():
    assert parse_labels([], {}) == {}
    with pytest.raises(UserError, match="'genre=jazz' has no effect.*without labels"):
        parse_labels(["genre=jazz"], {})


@given(vocabularies, st.data())
def test_every_value_of_a_vocabulary_is_understood(vocabulary, data):
    for name, known in vocabulary.items():
        for index, value in enumerate(known.get("values", ())):
            assert parse_labels([f"{name}={value}"], vocabulary) == {name: float(index)}
        if "values" not in known:
            value = data.draw(st.floats(-LARGEST, LARGEST))
            assert parse_labels([f"{name}={value!r}"], vocabulary) == {name: value}


@given(vocabularies, st.lists(st.text(max_size=20), max_size=4))
def test_anything_else_is_a_users_error(vocabulary, given_):
    try:
        labels = parse_labels(given_, vocabulary)
    except UserError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert set(labels) <= set(vocabulary) and len(labels) == len(given_)


@given(st.text())
def test_cleaning_twice_is_cleaning_once(text):
    assert clean(clean(text)) == clean(text)
    assert clean(f" \t{text}\n") == clean(text)


@given(st.floats(-LARGEST, LARGEST))
def test_numbers_are_read_exactly(value):
    assert number(repr(value)) == value


@pytest.mark.parametrize("text", ["", "nan", "-inf", "1_000", "1,5", "1e31", "0x10", "١", "1 2", ".", "+", "1e"])
def test_what_is_no_number(text):
    assert number(text) is None


def test_no_torch_is_needed():
    script = "import sys, synthesis.labels; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2]).returncode == 0
