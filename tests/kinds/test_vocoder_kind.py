"""Training of a vocoder as a kind of data: what the networks get, the losses on waveforms, and what is written."""

import numpy as np
import pytest
import torch
from decoder_clips import SAMPLES, clip, make_clips

from audio_codecs import codec_options, open_codec
from audio_codecs.filters import slaney_filters
from audio_codecs.learned_decoder import VocoderDecoder
from audio_codecs.mel import MelCodec
from audio_codecs.spectrum_decoder import LOG_CENTRE, LOG_SCALE
from audio_codecs.vocoder import unfolded
from config import make_config
from errors import UserError
from kinds.audio.files import read_audio
from kinds.decoder.__main__ import ship
from kinds.decoder.options import VocoderOptions
from kinds.decoder.vocoder import MEL_BANDS, VocoderKind, waveform_losses
from losses.waveform import log_mel_l1, multi_resolution_stft
from models.networks import build_generator
from monitoring.log import RunLog
from synthesis.loading import export_generator
from synthesis.space import Space

VOCODER = {"kind": "vocoder", "generator": "waveform", "loss_weight_mel": 1.0}


@pytest.fixture
def dataset(tmp_path):
    return make_clips(tmp_path)


def opened(folder, **options):
    kind = VocoderKind(VocoderOptions(**options))
    return kind, *kind.open(make_config(VOCODER | {"dataset_folder": str(folder)}).data, build=True)


def folded_clips(pairs) -> torch.Tensor:
    return torch.from_numpy(np.stack([pairs.target(0), pairs.target(1)]))


def test_latents_come_in_and_the_waveform_is_what_should_be_made(dataset):
    kind, train, _ = opened(dataset)
    clips_BHT = folded_clips(train)
    start_BDT, clean_BHT = kind.observe(clips_BHT)
    codec_BDT = MelCodec().encode(unfolded(clips_BHT)[:, None])
    torch.testing.assert_close(start_BDT * LOG_SCALE + LOG_CENTRE, codec_BDT)
    assert torch.equal(clean_BHT, clips_BHT)
    assert (kind.source_channels, kind.made_channels, kind.own_reals) == (128, 320, True)
    assert train.shape == (320, SAMPLES // 320)


def test_features_are_the_latents_statistics(dataset):
    kind, train, _ = opened(dataset)
    clips_BHT = folded_clips(train)
    latents_BDT, _ = kind.observe(clips_BHT)
    expected = torch.cat([latents_BDT.mean(-1), latents_BDT.std(-1, correction=0)], dim=1)
    assert torch.equal(kind.features(clips_BHT), expected)


def test_losses_are_weighted_and_named():
    torch.manual_seed(0)
    made, clean = 0.1 * torch.randn(2, 3, 320, 20)
    kind = VocoderKind(VocoderOptions(loss_weight_spectral=2.0, loss_weight_mel=0.5))
    total_B, named = kind.open_decoder(None, "cpu").losses(None, None)(made, torch.zeros_like(made), clean)
    waves = unfolded(made)[:, None], unfolded(clean)[:, None]
    torch.testing.assert_close(named["loss/spectral"], multi_resolution_stft(*waves))
    mel = [log_mel_l1(*waves, slaney_filters(24_000, n_fft, bands).float()) for n_fft, bands in MEL_BANDS.items()]
    torch.testing.assert_close(named["loss/mel"], sum(mel) / len(mel))
    torch.testing.assert_close(total_B, 2 * named["loss/spectral"] + 0.5 * named["loss/mel"])
    assert torch.equal(kind.measures(made, clean, None), torch.stack(waveform_losses(made, clean), dim=1))
    assert max(loss.max() for loss in waveform_losses(clean, clean)) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (VOCODER | {"generator": "spectrum"}, "--generator spectrum does not make what --kind vocoder needs"),
        ({"kind": "decoder", "generator": "waveform"}, "--generator waveform does not make what --kind decoder needs"),
        ({"discriminator": "conv+multi_period"}, "--discriminator multi_period is for waveforms, not for .*kind audio"),
        (VOCODER | {"pure_gan_mode": 0.1}, "without noise: leave pure_gan_mode at 0 with --kind vocoder"),
        (
            {
                "kind": "vocoder",
                "generator": "waveform",
                "gan_weight": 0,
                "loss_weight_input": 0,
                "loss_weight_target": 0,
            },
            "would learn nothing",
        ),
    ],
)
def test_parts_that_do_not_fit(options, message):
    with pytest.raises(UserError, match=message):
        make_config(options)


def test_what_is_written_can_be_heard(dataset, tmp_path):
    kind, _, val = opened(dataset)
    player = kind.open_decoder(None, "cpu")
    player.write_references(RunLog(None), val, 2, tmp_path / "samples")
    names = {path.name for path in (tmp_path / "samples").iterdir()}
    assert {"real_0.wav", "real_1.png", "round_trip_1.wav"} <= names
    written = read_audio(tmp_path / "samples" / "real_0.wav", 24_000)
    np.testing.assert_allclose(written[:320], clip(100)[:320], atol=1e-3)


def test_what_is_packed_decodes(tmp_path):
    """From a run's export to `--decoder FOLDER`: half precision, a digest, and the network that was trained."""
    config = make_config(VOCODER | {"width": 16, "num_layers": 1})
    network = build_generator(config.chosen("generator"), None, 128, seed=3)
    one = torch.ones(1)
    about = {"sample_rate": 24_000, "decodes": MelCodec.identify()}
    space = Space("vocoder", MelCodec.identify(), (320, 48), 75.0, 0 * one, one, torch.ones(1, 2), about=about)
    (tmp_path / "run").mkdir()
    export_generator(tmp_path / "run", config, network.state_dict(), space, "epoch 1")
    ship(tmp_path / "run", tmp_path / "packed")
    codec = open_codec("mel", options=codec_options("mel", str(tmp_path / "packed")))
    latents_BDT = codec.encode(torch.from_numpy(clip(0))[None, None])
    for weight in network.parameters():
        weight.data = weight.data.half().float()
    expected = MelCodec(learned=VocoderDecoder(network.generator)).decode(latents_BDT)
    torch.testing.assert_close(codec.decode(latents_BDT), expected)
