"""The EnCodec codec with random weights: equal to transformers' network, gradients, shapes, frozen."""

import logging
import math

import pytest
import torch
from encodec_files import original_name_of, save_original
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_codecs import codec_identity, encodec, open_codec
from audio_codecs.base import Codec


def noise(batch: int, samples: int) -> torch.Tensor:
    return 0.3 * torch.randn(batch, 1, samples, generator=torch.Generator().manual_seed(samples))


@pytest.fixture(scope="module")
def codec(random_encodec):
    return open_codec("encodec_24khz", weights=random_encodec.folder)


def test_both_file_formats_give_the_network_of_transformers(random_encodec, codec):
    wav = noise(2, 4000)
    with torch.no_grad():
        latents = random_encodec.model.encoder(wav)
        decoded = random_encodec.model.decoder(latents)[..., : 13 * 320]
    assert latents.std() > 1e-3 and decoded.std() > 1e-3
    for opened in (codec, open_codec("encodec_24khz", weights=random_encodec.original)):
        torch.testing.assert_close(opened.encode(wav), latents, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(opened.decode(latents), decoded, atol=1e-6, rtol=1e-5)
        assert opened.identity == codec.identity
    again = open_codec("encodec_24khz", weights=random_encodec.original)
    assert torch.equal(again.encode(wav), codec.encode(wav))
    assert torch.equal(again.decode(latents), codec.decode(latents))


def test_identity_is_found_without_the_network(random_encodec, codec, monkeypatch):
    monkeypatch.setattr(encodec, "_build", lambda weights: pytest.fail("built a network"))
    identities = {
        codec_identity("encodec_24khz", weights) for weights in (random_encodec.folder, random_encodec.original)
    }
    assert identities == {codec.identity}
    assert len(codec.identity) == len("encodec_24khz-") + 16


def test_other_weights_have_another_identity(random_encodec, codec, tmp_path):
    state = {key: value.clone() for key, value in random_encodec.model.state_dict().items()}
    state["decoder.layers.0.conv.bias"][0] += 1e-3
    other = save_original({original_name_of(key): value for key, value in state.items()}, tmp_path)
    assert codec_identity("encodec_24khz", other) != codec.identity
    state["quantizer.layers.0.codebook.embed"] += 1  # is no part of the codec
    state["decoder.layers.0.conv.bias"] = random_encodec.model.state_dict()["decoder.layers.0.conv.bias"]
    same = save_original({original_name_of(key): value for key, value in state.items()}, tmp_path)
    assert codec_identity("encodec_24khz", same) == codec.identity


@settings(deadline=None, max_examples=15)
@given(samples=st.integers(1, 3000))
def test_frames_are_samples_over_hop_rounded_up(codec, samples):
    latents = codec.encode(noise(1, samples))
    frames = math.ceil(samples / 320)
    assert latents.shape == (1, 128, frames) and latents.isfinite().all()
    assert codec.decode(latents).shape == (1, 1, frames * 320)


def test_gradient_reaches_latents_and_no_weight(codec):
    latents = codec.encode(noise(1, 1600)).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wav = codec.decode(latents)
    assert wav.dtype == torch.float32
    wav.square().sum().backward()
    assert latents.grad.isfinite().all() and latents.grad.abs().max() > 0
    parameters = [*codec._encoder.parameters(), *codec._decoder.parameters()]
    assert len(parameters) > 50 and not any(parameter.requires_grad for parameter in parameters)


def test_opening_leaves_the_global_generator_alone_and_names_the_licence_once(random_encodec, caplog):
    encodec._announce_licence.cache_clear()
    state = torch.get_rng_state()
    with caplog.at_level(logging.WARNING):
        opened = [open_codec("encodec_24khz", weights=random_encodec.folder) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), state)
    assert isinstance(opened[0], Codec)
    assert [record.message.count("non-commercial") for record in caplog.records] == [1]


def test_equal_to_the_encodec_package(tmp_path):
    package = pytest.importorskip("encodec", exc_type=(ImportError, OSError))
    network = package.EncodecModel.encodec_model_24khz(pretrained=False).eval()
    opened = open_codec("encodec_24khz", weights=save_original(network.state_dict(), tmp_path))
    wav = noise(2, 4000)
    with torch.no_grad():
        latents = network.encoder(wav)
        torch.testing.assert_close(opened.encode(wav), latents, atol=1e-6, rtol=1e-5)
        decoded = network.decoder(latents)[..., : 13 * 320]
        torch.testing.assert_close(opened.decode(latents), decoded, atol=1e-6, rtol=1e-5)
