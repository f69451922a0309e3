"""A codec is a class and one line in the registry; its own options reach it however it is opened."""

import subprocess
import sys
from pathlib import Path

import pytest

from audio_codecs import CODECS, codec_class, codec_identity, open_codec
from config import make_config
from errors import UserError
from registry import Options, Part, opt

ROOT = Path(__file__).parents[2]


class ToyOptions(Options):
    """toy"""

    toy_depth: int = opt(3, "layers", ge=1)


class ToyCodec:
    """Keeps what it was opened with."""

    name = "toy"
    sample_rate, frame_rate, hop, channels = 24000, 75, 320, 128

    def __init__(self, *given) -> None:
        self.given = given

    @classmethod
    def open(cls, weights, device, options):
        return cls(weights, device, options)

    @classmethod
    def identify(cls, weights, options):
        return f"toy-{weights}-{options.toy_depth}"


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(CODECS._parts, "toy", Part("toy", ToyCodec, ToyOptions))


def test_own_options_are_passed_on(toy):
    options = ToyOptions(toy_depth=7)
    assert open_codec("toy", "weights.bin", "cuda:1", options).given == ("weights.bin", "cuda:1", options)
    assert codec_identity("toy", "weights.bin", options) == "toy-weights.bin-7"


def test_without_options_a_codec_gets_its_defaults(toy):
    assert open_codec("toy").given == (None, "cpu", ToyOptions())
    assert codec_identity("toy") == "toy-None-3"


def test_a_configuration_knows_the_chosen_codecs_options(toy):
    config = make_config({"codec": "toy", "toy_depth": 5})
    assert config.chosen("codec").options == ToyOptions(toy_depth=5)
    assert config.flat()["toy_depth"] == 5
    with pytest.raises(UserError, match="toy_depth 0 is not possible"):
        make_config({"codec": "toy", "toy_depth": 0})
    with pytest.raises(UserError, match="toy_depth is an option of --codec toy, not of mel"):
        make_config({"codec": "mel", "toy_depth": 5})


def test_a_class_is_found_by_name_and_a_near_miss_is_guessed(toy):
    assert codec_class("toy") is ToyCodec
    with pytest.raises(UserError, match="no codec 'toi'; did you mean 'toy'.*encodec_24khz, mel, mel_slaney, toy"):
        codec_class("toi")


def test_names_and_options_are_known_without_torch_and_classes_without_transformers():
    code = (
        "import sys, audio_codecs; assert set(audio_codecs.CODECS) == {'encodec_24khz', 'mel', 'mel_slaney'}; "
        "assert 'torch' not in sys.modules; from audio_codecs import codec_class; "
        "assert all(codec_class(name).name == name for name in audio_codecs.CODECS); "
        "sys.exit('transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
