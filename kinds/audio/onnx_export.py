"""Writes a generator and its decoder as ONNX, with `onnx_player.py`, which plays them without torch.

In the graphs: the generator with its conditions, for any number of frames; the decoder up to magnitudes. Outside, in
numpy: noise, sampling steps, windows, phases, the inverse Fourier transform.

Legend: B clips, D latent channels, T frames, F frequency bins, L labels.
"""

import copy
import json
import warnings
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from audio_codecs.learned_decoder import LearnedDecoder
from audio_codecs.mel import LOG_CEILING, LOG_FLOOR
from audio_codecs.noise_filling import noise_share
from audio_codecs.spectrum_decoder import LOG_CENTRE, LOG_SCALE
from errors import UserError
from kinds.audio import onnx_player
from kinds.audio.music import Music
from runtime.files import atomic_path, write_bytes, write_text
from synthesis.generation import one_pass
from synthesis.loading import LoadedGenerator

GENERATOR, DECODER, ABOUT = "generator.onnx", "decoder.onnx", "onnx.json"
OPSET = 18


class GeneratorGraph(nn.Module):
    """forward(input, target [B, D, T], alpha [B], labels [B, L]) -> [B, D, T], normalised; an open label is NaN."""

    def __init__(self, loaded: LoadedGenerator) -> None:
        super().__init__()
        self.network = plain_weights(loaded.network)
        self._loaded = replace(loaded, network=self.network)

    def forward(self, input_BDT: Tensor, target_BDT: Tensor, alpha_B: Tensor, labels_BL: Tensor) -> Tensor:
        conditioning = self._loaded.conditioning
        labels = {name: labels_BL[:, k] for k, name in enumerate(conditioning.known_labels)}
        return one_pass(self._loaded, (input_BDT, target_BDT), conditioning(alpha_B, labels, input_BDT))


def plain_weights(network: nn.Module) -> nn.Module:
    """A copy whose weights are constants, also those that are computed (spectral norm): ONNX lacks some operations."""
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):
                parametrize.remove_parametrizations(module, name)
    return network


class DecoderGraph(nn.Module):
    """forward(latents [B, D, T]) -> magnitudes and the share of noise in them, [B, T, F] each."""

    def __init__(self, decoder: LearnedDecoder) -> None:
        super().__init__()
        self.network, self._decoder = decoder.network, decoder

    def forward(self, latents_BDT: Tensor) -> tuple[Tensor, Tensor]:
        log_BTF = self._decoder.log_magnitudes((latents_BDT - LOG_CENTRE) / LOG_SCALE)
        return log_BTF.exp(), noise_share(log_BTF)


def write_onnx(music: Music, folder: Path) -> None:
    """generator.onnx, decoder.onnx, onnx.json and onnx_player.py in a folder.

    Raises:
        UserError: the generator or its codec cannot be exported.
        OSError: the folder cannot be written.
    """
    loaded, decoder = music.loaded, getattr(music.codec, "decoder", None)
    if not isinstance(decoder, LearnedDecoder):
        raise UserError(f"--onnx: the codec {music.codec.identity} has no learned decoder of log-mel latents")
    if loaded.sources.only_noise or loaded.config.chosen("mask_type").part.facts.get("hides"):
        raise UserError("--onnx: generators that start from vectors, or with --mask_type, cannot be exported to ONNX")
    D, window = loaded.space.shape
    labels = list(loaded.conditioning.known_labels)
    latents, alpha = torch.randn(1, D, window), torch.ones(1)
    given = {"input": latents, "target": latents + 1, "alpha": alpha, "labels": torch.full((1, len(labels)), torch.nan)}
    _export(GeneratorGraph(loaded), given, {"made": 2}, folder / GENERATOR)
    _export(DecoderGraph(decoder), {"latents": latents}, {"magnitudes": 1, "noise": 1}, folder / DECODER)
    write_text(folder / ABOUT, json.dumps(_about(loaded, decoder)) + "\n")
    write_bytes(folder / "onnx_player.py", Path(onnx_player.__file__).read_bytes())


def _about(loaded: LoadedGenerator, decoder: LearnedDecoder) -> dict:
    """What the player needs besides the graphs, plain types."""
    space, sampling = loaded.space, loaded.config.sampling
    limits = {"lowest": space.lowest_D, "highest": space.highest_D}
    return {
        "trained_to": loaded.trained_to,
        "window": space.shape[-1],
        "patch_frames": getattr(loaded.network.generator, "patch_frames", 1),
        "passes": sampling.passes,
        "offset": sampling.offset_noise,
        "offset_frames": sampling.offset_seconds * space.rate,
        "labels": {name: dict(known) for name, known in loaded.conditioning.known_labels.items()},
        "mean": space.mean_D.tolist(),
        "std": space.std_D.tolist(),
        "noise_scales": space.noise_scales_K2.tolist(),
        **{name: None if limit is None else limit.tolist() for name, limit in limits.items()},
        "lowest_latent": LOG_FLOOR,
        "highest_latent": LOG_CEILING,
        "reach": decoder.network.reach,
    }


def _export(graph: nn.Module, given: dict[str, Tensor], outputs: dict[str, int], path: Path) -> None:
    """One graph whose number of frames is open. torch's older exporter writes it: the newer one fixes more lengths and
    needs onnxscript.

    outputs: the axis of frames by name.
    """
    frames = {name: {2: "T"} for name in given if given[name].ndim == 3}
    frames |= {name: {axis: "T"} for name, axis in outputs.items()}
    with atomic_path(path) as temporary, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.eval(),
            tuple(given.values()),
            str(temporary),
            input_names=list(given),
            output_names=list(outputs),
            dynamic_axes=frames,
            opset_version=OPSET,
            dynamo=False,
        )
