"""Folders for others: weights, decoder, model card and samples, which make the same clips elsewhere."""

import json
import shutil

import pytest
import soundfile
import yaml
from tiny_exports import STEPS, tiny_export

import export
from audio_codecs.learned_decoder import SHIPPED
from kinds.audio.packing import about_training
from noise2music import load

FIGURES = {
    "rulers": {
        "clips": {"sets": {"demo": {"frechet": {"value": 12.345}, "coverage": {"value": 0.5}}, "floor": {}}},
        "notes": {"sets": {"demo": {"frechet": {"value": 3.0}, "gap_closed": {"value": 0.81}}}},
    }
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    run = tiny_export(tmp_path_factory.mktemp("run") / "run", labels=True, dataset_folder="/home/anna/secret", **STEPS)
    about = {"dataset": "/home/anna/secret", "train_pairs": 30, "length": 4.0, "unit": "s"}
    (run / "about.json").write_text(json.dumps(about))
    (run / "figures.json").write_text(json.dumps(FIGURES))
    return run


def packed(folder, output, *options) -> dict:
    words = ["--checkpoint", str(folder), "--output", str(output), "--duration", "0.5", *options]
    assert export.main(words) == 0
    return {path.relative_to(output).as_posix(): path for path in output.rglob("*") if path.is_file()}


def test_a_folder_holds_what_others_need(folder, tmp_path):
    there = packed(folder, tmp_path / "out", "--samples", "2", "--license", "cc0-1.0",
                   "--figures", str(folder / "figures.json"))  # fmt: skip
    samples = {f"samples/noise_0_000{k}{suffix}" for k in range(2) for suffix in (".wav", ".png")}
    decoder = {"decoder/generator.safetensors", "decoder/config.json"}
    assert set(there) == {"generator.safetensors", "config.json", "README.md"} | samples | decoder
    assert there["decoder/generator.safetensors"].read_bytes() == (SHIPPED / "generator.safetensors").read_bytes()
    assert "secret" not in there["config.json"].read_text() and "checkpoint_dir" not in there["config.json"].read_text()
    assert soundfile.info(there["samples/noise_0_0000.wav"]).frames == 12_000


def test_the_card_says_what_it_is(folder, tmp_path):
    text = packed(folder, tmp_path / "out", "--samples", "1", "--license", "cc0-1.0",
                  "--figures", str(folder / "figures.json"))["README.md"].read_text()  # fmt: skip
    _, header, body = text.split("---\n", 2)
    assert yaml.safe_load(header) == {
        "library_name": "noise2music", "tags": ["music", "audio", "gan"], "license": "cc0-1.0"
    }  # fmt: skip
    assert "epoch 1, step 1" in body and "under the licence cc0-1.0" in body
    assert "'secret': 30 training pairs of 4 s, 2 minutes in all" in body and "/home" not in body
    assert "| set | frechet | coverage |" in body and "| demo | 12.3 | 0.5 |" in body and "| floor | – | – |" in body
    assert "| set | gap closed | frechet |" in body and "| demo | 0.81 | 3 |" in body
    assert "(samples/noise_0_0000.wav)" in body and "Label `genre`: folk, jazz." in body
    assert 'load("hf:user/name")' in body and '{"genre": "folk"}' in body


def test_what_is_not_known_is_said(tmp_path):
    text = packed(tiny_export(tmp_path / "run"), tmp_path / "out", "--samples", "0")["README.md"].read_text()
    assert "No licence was stated" in text and "Not documented." in text
    assert "license:" not in text and "Figures" not in text and "Samples" not in text
    assert about_training(tmp_path) == "Not documented."
    packed(tmp_path / "run", tmp_path / "out", "--samples", "0", "--trained_on", "Birds.")
    assert "\nBirds.\n" in (tmp_path / "out" / "README.md").read_text()


def test_it_makes_the_same_clips_with_its_own_decoder(folder, tmp_path):
    packed(folder, tmp_path / "out", "--samples", "0")
    there = load(tmp_path / "out")
    assert there.loaded.decoder == tmp_path / "out" / "decoder"
    wav = load(folder).generate(0.5, seed=2, label="genre=jazz").wav_N
    assert (there.generate(0.5, seed=2, label="genre=jazz").wav_N == wav).all()
    config = json.loads((tmp_path / "out" / "decoder" / "config.json").read_text())
    config["space"]["about"]["decodes"] = "another codec"
    (tmp_path / "out" / "decoder" / "config.json").write_text(json.dumps(config))
    with pytest.raises(Exception, match="is for latents another codec"):
        load(tmp_path / "out")


def test_an_export_can_be_packed_in_its_own_place(folder, tmp_path):
    first = packed(folder, tmp_path / "out", "--samples", "1")
    before = first["generator.safetensors"].read_bytes()
    shutil.copytree(tmp_path / "out", tmp_path / "copy")
    again = packed(tmp_path / "out", tmp_path / "out", "--samples", "2", "--license", "mit")
    assert again["generator.safetensors"].read_bytes() == before and "samples/noise_0_0001.wav" in again
    assert (tmp_path / "copy/decoder/config.json").read_bytes() == again["decoder/config.json"].read_bytes()


WRONG = {
    "--samples 1000": "--samples 1000",
    "--duration 0": "--duration 0",
    "--private": "--private needs --push",
    "--figures nowhere.json": "evaluate.py --json",
    "--output {folder}/config.json/below": "cannot write",
    "--checkpoint nowhere": "does not exist",
}


@pytest.mark.parametrize("options", WRONG)
def test_wrong_options_are_one_sentence(folder, tmp_path, capsys, options):
    base = ["--checkpoint", str(folder), "--output", str(tmp_path / "out"), "--samples", "0"]
    assert export.main(base + options.format(folder=folder).split()) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and WRONG[options] in error
