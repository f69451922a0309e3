"""The dataset folder: its layout, and dataset.yaml read with distrust."""

import numpy as np
import pytest
import soundfile
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import UserError
from kinds.audio.pairs import LatentSummary, Manifest, SongOrigin, check_clip, list_pairs, read_manifest, write_manifest

ORIGIN = SongOrigin("train", 12, ((0, 9), (11, 3)), "2c26b46b68ffc68f", "a folder/thé song: 1.ogg")
MANIFEST = Manifest(
    made_by="a test",
    duration=4.0,
    codec="mel",
    options={"seed": 42, "val_fraction": 0.1},
    pairs={"train": 12, "val": 0},
    songs=[str(ORIGIN)],
    skipped={"a.txt": "not audio"},
    latents=LatentSummary(identity="mel-1", frames=300, max_abs_error=0.004, mean=[-1.5, 2.0], std=[1.0, 0.5]),
)


def test_a_manifest_survives_its_file(tmp_path):
    write_manifest(tmp_path, MANIFEST)
    assert read_manifest(tmp_path) == MANIFEST
    assert yaml.safe_load((tmp_path / "dataset.yaml").read_text())["songs"] == [str(ORIGIN)]
    first = (tmp_path / "dataset.yaml").read_bytes()
    write_manifest(tmp_path, MANIFEST)
    assert (tmp_path / "dataset.yaml").read_bytes() == first


def test_no_manifest_is_no_error(tmp_path):
    assert read_manifest(tmp_path) is None


def test_origins_say_which_pair_is_which_clips():
    assert SongOrigin.parse(str(ORIGIN)) == ORIGIN
    assert ORIGIN.pairs() == [*((12 + i, i) for i in range(9)), (21, 11), (22, 12), (23, 13)]


@pytest.mark.parametrize("file", ["/etc/passwd", "../a.ogg", "a/../../b.ogg", ""])
def test_no_origin_leads_out_of_the_folder(file):
    with pytest.raises(ValueError):
        SongOrigin.parse(f"train 0 0:1 abcdef01 {file}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "42",
        "[a, b",
        "codec: mel",
        "{duration: 4.0, codec: mel, surprise: 1}",
        "{duration: .nan, codec: mel}",
        "{duration: 4.0, codec: ../../etc}",
        "{duration: 4.0, codec: mel, sample_rate: 0}",
        "{duration: 4.0, codec: mel, pairs: {train: -1}}",
        '{duration: 4.0, codec: mel, pairs: {"\\n": null}}',
        "{duration: 4.0, codec: mel, songs: ['train 0 0:1 abcdef01 ../a.ogg']}",
        "{duration: 4.0, codec: mel, songs: ['train 0 0:1 abcdef01 a.ogg'], pairs: {train: 2}}",
        "!!python/object/apply:os.system [ls]",
        "!!bool maybe",
        "2001-13-45",
        "a: &a {x: 1}\nb: &b {<<: [*a, *a]}\nc: {<<: [*b, *b]}",
        "[" * 5_000,
        "- " * 5_000,
        "{a: " * 5_000,
        "\x00",
    ],
)
def test_a_bad_manifest_is_one_sentence(tmp_path, text):
    (tmp_path / "dataset.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        read_manifest(tmp_path)
    assert "dataset.yaml" in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 600


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
trees = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(max_size=4), scalars, max_size=2)


@given(st.dictionaries(st.sampled_from(list(Manifest.model_fields)), trees, max_size=2))
@settings(max_examples=100, deadline=None)
def test_any_tree_is_a_manifest_or_an_error(tmp_path_factory, changes):
    folder = tmp_path_factory.getbasetemp()
    (folder / "dataset.yaml").write_text(yaml.safe_dump(MANIFEST.model_dump(exclude_none=True) | changes))
    try:
        assert isinstance(read_manifest(folder), Manifest)
    except UserError as error:
        assert "\n" not in str(error)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_a_manifest_or_an_error(tmp_path_factory, content):
    folder = tmp_path_factory.getbasetemp()
    (folder / "dataset.yaml").write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_manifest(folder)
    assert "\n" not in str(caught.value)


def touch(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"")


def test_pairs_are_found_by_name_and_sorted(tmp_path):
    touch(tmp_path, "b_input.wav", "b_output.wav", "a_1_input.flac", "a_1_target.wav", "notes.txt", ".c_input.wav")
    pairs = list_pairs(tmp_path)
    assert [pair.name for pair in pairs] == ["a_1", "b"]
    assert pairs[1].target.name == "b_output.wav" and pairs[0].input.name == "a_1_input.flac"


@pytest.mark.parametrize(
    "names, complaint",
    [
        ([], "holds no pairs"),
        (["notes.txt"], "holds no pairs"),
        (["a_input.wav"], "a_input.wav has no a_target.wav"),
        (["a_target.wav"], "a_target.wav has no a_input.wav"),
        (["a_input.wav", "a_target.wav", "a_output.wav"], "are both the target"),
    ],
)
def test_incomplete_folders_are_named(tmp_path, names, complaint):
    touch(tmp_path, *names)
    with pytest.raises(UserError, match=complaint):
        list_pairs(tmp_path)


def test_a_missing_folder_points_to_the_remedy(tmp_path):
    with pytest.raises(UserError, match=r"nowhere does not exist; .*prepare_dataset.py"):
        list_pairs(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "rate, frames, subtype, complaint",
    [
        (44_100, 24_000, "PCM_16", "44100 Hz instead of 24000"),
        (24_000, 23_999, "PCM_16", "one length"),
        (24_000, 24_000, "PCM_U8", "8 bits"),
        (24_000, 0, "PCM_16", "empty"),
    ],
)
def test_clips_are_checked_by_their_headers(tmp_path, rate, frames, subtype, complaint):
    soundfile.write(tmp_path / "a.wav", np.zeros(frames), rate, subtype)
    with pytest.raises(UserError, match=rf"a\.wav.*{complaint}.*prepare_dataset.py"):
        check_clip(tmp_path / "a.wav", 24_000, 24_000)


def test_a_clip_must_have_some_length(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 24_000)
    with pytest.raises(UserError, match="shorter"):
        check_clip(tmp_path / "a.wav", 24_000, None)
