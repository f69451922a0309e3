"""labels.csv: what training reads of it, and tables of labels as other programs write them."""

import math
import pickle

import numpy as np
import pytest
from data_clips import make_hand_made
from hypothesis import given
from hypothesis import strategies as st
from test_audio_kind import kind_of

from errors import UserError
from kinds.audio.label_table import LabelTable, read_table, write_table
from kinds.audio.labels import PairLabels, read_labels, vocabulary_of
from kinds.audio.latent_pairs import open_pairs
from synthesis.labels import clean, parse_labels

ROWS = """pair,genre,tempo,unused
train/pair_0000,jazz,120,
train/pair_0001,folk,,
train/pair_0002,jazz,100,
val/pair_0000,pop,fast,x
"""


@pytest.fixture
def labelled(hand_made):
    (hand_made / "labels.csv").write_text(ROWS)
    return hand_made


def same(labels, expected):
    return list(labels) == list(expected) and all(
        a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(labels.values(), expected.values(), strict=True)
    )


def test_labels_of_pairs(labelled):
    train, val = open_pairs(labelled)
    assert same(train.labels(0), {"genre": 1.0, "tempo": 120.0})
    assert same(train.labels(1), {"genre": 0.0, "tempo": math.nan})
    assert same(train.labels(3), {"genre": math.nan, "tempo": math.nan})
    assert same(val.labels(0), {"genre": math.nan, "tempo": math.nan})
    assert train.vocabulary == {"genre": {"values": ["folk", "jazz"]}, "tempo": {"mean": 110.0, "std": 10.0}}
    train.labels(0)["genre"] = 7.0
    assert train.labels(0)["genre"] == 1.0


def test_the_kind_says_what_they_mean(labelled):
    kind, data = kind_of(labelled)
    kind.open(data, build=True)
    assert kind.about["labels"] == {
        "genre": {"values": ["folk", "jazz"]},
        "tempo": {"mean": 110.0, "std": 10.0},
    }
    assert list(kind.about["labels"]) == ["genre", "tempo"]


def test_without_the_file_there_are_none(hand_made):
    train, val = open_pairs(hand_made)
    assert train.labels(0) == val.labels(0) == {} == train.vocabulary
    assert train.labels_digest == ""


def test_pairs_are_called_by_their_folder(labelled):
    (labelled / "train").rename(labelled / "other")
    (labelled / "labels.csv").write_text(ROWS.replace("train/", "other/"))
    train, _ = open_pairs(labelled, labelled / "other", labelled / "val")
    assert train.labels(0) == {"genre": 1.0, "tempo": 120.0}


def test_validation_beside_another_file(labelled, tmp_path):
    elsewhere = make_hand_made(tmp_path / "elsewhere")
    _, val = open_pairs(labelled, val_dir=elsewhere / "val")
    assert same(val.labels(0), {"genre": math.nan, "tempo": math.nan})
    (elsewhere / "labels.csv").write_text("pair,genre\nval/pair_0000,folk\n")
    _, val = open_pairs(labelled, val_dir=elsewhere / "val")
    assert same(val.labels(0), {"genre": 0.0, "tempo": math.nan})


def test_all_who_open_agree_and_those_with_other_labels_do_not(labelled):
    digest = open_pairs(labelled)[0].labels_digest
    assert digest == open_pairs(labelled, build=False)[0].labels_digest
    (labelled / "labels.csv").write_text(ROWS.replace("120", "121"))
    assert digest != open_pairs(labelled, build=False)[0].labels_digest


def test_another_vocabulary_is_that_of_a_checkpoint(labelled):
    train, _ = open_pairs(labelled)
    train.use_vocabulary({"mood": {"values": ["sad"]}, "genre": {"values": ["blues", "jazz"]}})
    assert same(train.labels(0), {"mood": math.nan, "genre": 1.0})
    assert same(train.labels(1), {"mood": math.nan, "genre": math.nan})
    train.use_vocabulary({})
    assert train.labels(0) == {}


def test_labels_travel_to_other_processes(labelled):
    train, _ = open_pairs(labelled)
    assert same(pickle.loads(pickle.dumps(train)).labels(1), train.labels(1))


@pytest.mark.parametrize(
    "column, expected",
    [
        (["1", "3", ""], {"mean": 2.0, "std": 1.0}),
        (["1", "three"], {"values": ["1", "three"]}),
        (["nan", "1"], {"values": ["1", "nan"]}),
        (["1", "1"], {"mean": 1.0, "std": 1e-6}),
        (["0"], {"mean": 0.0, "std": 1e-6}),
        (["b", "a", "b"], {"values": ["a", "b"]}),
    ],
)
def test_numbers_and_values(column, expected):
    assert vocabulary_of({"x": column}) == {"x": expected}


def test_a_label_that_no_training_pair_has_is_left_out():
    assert vocabulary_of({"x": ["", ""], "y": ["a", ""]}) == {"y": {"values": ["a"]}}


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=20))
def test_means_are_those_of_numpy(values):
    known = vocabulary_of({"x": [repr(value) for value in values]})["x"]
    scale = max(1.0, max(map(abs, values)))
    assert abs(known["mean"] - np.mean(values)) <= 1e-12 * scale
    assert known["std"] >= 1e-6 and abs(known["std"] - np.std(values)) <= 2e-6 * scale


@pytest.mark.parametrize(
    "content, complaint",
    [
        ("", "no column 'pair'"),
        ("file,genre\na.wav,jazz\n", "no column 'pair'"),
        ("pair\ntrain/pair_0000\n", "no labels"),
        ("pair,\ntrain/pair_0000,jazz\n", "column named ''"),
        ("pair,a=b\ntrain/pair_0000,jazz\n", "column named 'a=b'"),
        ("pair,x,x\ntrain/pair_0000,1,2\n", "two columns named 'x'"),
        ("pair,x,pair\ntrain/pair_0000,1,2\n", "two columns named 'pair'"),
        ("pair,x\ntrain/pair_0000,1,2\n", "line 2 has more cells"),
        ("pair,x\n,1\n", "line 2 does not say"),
        ("pair,x\ntrain/pair_0000,1\ntrain/pair_0000,2\n", "line 3: train/pair_0000 is there twice"),
        ('pair,x\ntrain/pair_0000,"1\n', "save it again as a CSV file"),
        ("pair,x\nval/pair_0000,1\n", "names none of the pairs"),
        (b"pair,x\ntrain/pair_0000,\xff\n", "UTF-8"),
        (b"\xff\xfepai", "UTF-8"),
    ],
)
def test_a_wrong_file_is_one_sentence(hand_made, content, complaint):
    (hand_made / "labels.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=complaint) as caught:
        open_pairs(hand_made)
    assert "labels.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_in_its_place_is_one_sentence(hand_made):
    (hand_made / "labels.csv").mkdir()
    with pytest.raises(UserError, match="cannot be read"):
        open_pairs(hand_made)


@pytest.mark.parametrize(
    "content",
    [
        "pair,genre,tempo\na,hip hop,1.5\nb,,2\n",
        "\ufeffpair,genre,tempo\r\na,hip hop,1.5\r\nb,,2\r\n\r\n",
        "pair;genre;tempo\na;hip hop;1.5\nb;;2\n",
        "pair\tgenre\ttempo\na\t hip  hop \t1.5\nb\t\t2\n",
        'Pair|"genre"|tempo\n"a"|"hip\nhop"|1.5\nb||2\n',
        "genre,pair,tempo\nhip hop,a,1.5\n,b,2\n",
        "pair,genre,tempo\na,hip hop,1.5,,\nb,,2\nb,,2\n,,\n",
        "pair,genre,tempo\ra,hip hop,1.5\rb,,2\r",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tables_of_other_programs(tmp_path, content, encoding):
    (tmp_path / "x.csv").write_bytes(content.encode(encoding))
    table = read_table(tmp_path / "x.csv", "pair")
    assert table.columns == ("genre", "tempo")
    assert table.rows == {"a": ("hip hop", "1.5"), "b": ("", "2")}


texts = st.text(max_size=12).map(clean)
columns = st.lists(texts.filter(lambda x: x and "=" not in x and x.casefold() != "pair"), min_size=1, unique=True)


@given(st.data())
def test_a_table_comes_back_as_it_was_written(tmp_path_factory, data):
    names = tuple(data.draw(columns))
    rows = data.draw(st.dictionaries(texts.filter(bool), st.tuples(*[texts for _ in names]), max_size=5))
    path = tmp_path_factory.getbasetemp() / "round_trip.csv"
    write_table(path, "pair", LabelTable(names, rows))
    assert read_table(path, "pair") == LabelTable(names, rows)


@given(st.binary(max_size=60))
def test_no_bytes_are_worse_than_a_users_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "bytes.csv"
    path.write_bytes(b"pair,x\n" + content)
    try:
        read_table(path, "pair")
    except UserError as error:
        assert len(str(error).splitlines()) == 1


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=8))
def test_every_label_of_a_pair_can_be_asked_for(rows):
    columns = {"x": [x for x, _ in rows], "y": [y for _, y in rows]}
    vocabulary = vocabulary_of(columns)
    labels = PairLabels(columns, len(rows), vocabulary)
    for i, (x, y) in enumerate(rows):
        asked = [f"{name}={text}" for name, text in (("x", x), ("y", y)) if text]
        assert parse_labels(asked, vocabulary) == {k: v for k, v in labels.of(i).items() if not math.isnan(v)}


def test_many_pairs_are_read_quickly(tmp_path):
    count = 20_000
    names = [f"pair_{i:04d}" for i in range(count)]
    lines = [f"train/{name},genre {i % 10},{60 + i % 90}" for i, name in enumerate(names)]
    (tmp_path / "labels.csv").write_text("\n".join(["pair,genre,tempo", *lines]))
    read = read_labels({"train": tmp_path / "train", "val": tmp_path / "val"}, {"train": names, "val": ["pair_0000"]})
    assert read["train"].of(count - 1) == {"genre": 9.0, "tempo": 60.0 + (count - 1) % 90}
    assert len(read["train"]._rows) == 90  # pairs of equal labels share them
