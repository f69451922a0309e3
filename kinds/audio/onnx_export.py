"""Writes a generator and its decoder as ONNX, with `onnx_player.py`, which plays them without torch.

In the graphs: the generator with its agent and conditions, for any number of frames; the decoder, up to magnitudes if
it gives these; masks. Outside, in numpy: noise, sampling steps, windows, phases, the inverse Fourier transform.

Legend: B clips, D latent channels, T frames, F frequency bins, L labels, K random numbers of a mask, N audio samples.
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
from kinds.audio.request import usual_guidance
from registry import Chosen
from runtime.files import atomic_path, write_bytes, write_text
from synthesis.generation import one_pass
from synthesis.loading import LoadedGenerator

GENERATOR, DECODER, MASKS, ABOUT = "generator.onnx", "decoder.onnx", "masks.onnx", "onnx.json"
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


class MaskGraph(nn.Module):
    """forward(input, target [B, D, T], uniform [B, K]) -> both sources with the masks applied."""

    def __init__(self, mask: Chosen) -> None:
        super().__init__()
        self._mask, self._options = mask.part.load(), mask.options

    def forward(self, input_BDT: Tensor, target_BDT: Tensor, uniform_BK: Tensor) -> tuple[Tensor, Tensor]:
        masking = self._mask(self._options, input_BDT, target_BDT, uniform_BK)
        return masking.masked_input, masking.masked_target


class MagnitudeGraph(nn.Module):
    """forward(latents [B, D, T]) -> magnitudes and the share of noise in them, [B, T, F] each."""

    def __init__(self, decoder: LearnedDecoder) -> None:
        super().__init__()
        self.network, self._decoder = decoder.network, decoder

    def forward(self, latents_BDT: Tensor) -> tuple[Tensor, Tensor]:
        log_BTF = self._decoder.log_magnitudes((latents_BDT - LOG_CENTRE) / LOG_SCALE)
        return log_BTF.exp(), noise_share(log_BTF)


class AudioGraph(nn.Module):
    """forward(latents [B, D, T]) -> audio [B, 1, N]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = plain_weights(network)

    def forward(self, latents_BDT: Tensor) -> Tensor:
        return self.network(latents_BDT)


def write_onnx(music: Music, folder: Path) -> None:
    """generator.onnx, decoder.onnx, masks.onnx where there are masks, onnx.json and onnx_player.py in a folder.

    Raises:
        UserError: the generator, its masks or its codec cannot be exported.
        OSError: the folder cannot be written.
    """
    loaded = music.loaded
    _check(loaded)
    decoder, decoded, about_decoder = _decoder(music)
    D, window = loaded.space.shape
    labels = list(loaded.conditioning.known_labels)
    latents, alpha = torch.randn(1, D, window), torch.ones(1)
    sources = {"input": latents, "target": latents + 1}
    given = sources | {"alpha": alpha, "labels": torch.full((1, len(labels)), torch.nan)}
    _export(GeneratorGraph(loaded), given, {"made": 2}, folder / GENERATOR)
    _export(decoder, {"latents": latents}, decoded, folder / DECODER)
    numbers = _write_masks(loaded.config.chosen("mask_type"), sources, folder / MASKS)
    about = _about(loaded) | about_decoder | {"mask_numbers": numbers}
    write_text(folder / ABOUT, json.dumps(about) + "\n")
    write_bytes(folder / "onnx_player.py", Path(onnx_player.__file__).read_bytes())


def _check(loaded: LoadedGenerator) -> None:
    """Raises UserError for generators that cannot start from noise of the latents' form alone."""
    if loaded.sources.only_noise:
        raise UserError("--onnx: generators that start from vectors cannot be exported to ONNX")
    if loaded.sources.channels not in (None, (0, loaded.space.shape[0])):
        raise UserError(
            "--onnx: this generator was trained with --noise_channels and needs a recording, but what is exported "
            "makes clips of noise alone"
        )


def _decoder(music: Music) -> tuple[nn.Module, dict[str, int], dict]:
    """The graph of the codec's decoder, the axis of frames of its outputs, and what the player needs beside it."""
    decoder = getattr(music.codec, "decoder", None)
    if isinstance(decoder, LearnedDecoder):
        limits = {"lowest_latent": LOG_FLOOR, "highest_latent": LOG_CEILING, "reach": decoder.network.reach}
        return MagnitudeGraph(decoder), {"magnitudes": 1, "noise": 1}, limits
    if (network := getattr(music.codec, "decoder_network", None)) is not None:
        return AudioGraph(network), {"audio": 2}, {}
    raise UserError(f"--onnx: the codec {music.codec.identity} has no decoder that can be exported to ONNX")


def _write_masks(mask: Chosen, sources: dict[str, Tensor], path: Path) -> int:
    """The graph of the masks -> how many random numbers they need; without masks no graph, and 0."""
    path.unlink(missing_ok=True)  # of an earlier export
    if not mask.part.facts.get("hides"):
        return 0
    count = mask.part.facts["uniforms"](sources["input"].shape[1]) if "uniforms" in mask.part.facts else 0
    given = sources | {"uniform": torch.rand(1, count)}
    _export(MaskGraph(mask), given, {"masked_input": 2, "masked_target": 2}, path)
    return count


def _about(loaded: LoadedGenerator) -> dict:
    """What the player needs beside the graphs and the decoder, plain types."""
    space, sampling = loaded.space, loaded.config.sampling
    limits = {"lowest": space.lowest_D, "highest": space.highest_D}
    return {
        "trained_to": loaded.trained_to,
        "window": space.shape[-1],
        "patch_frames": getattr(loaded.network.generator, "patch_frames", 1),
        "passes": sampling.passes,
        "guidance": [usual_guidance(loaded, passes) for passes in (1, 2)],  # in one step, in several
        "offset": sampling.offset_noise,
        "offset_frames": sampling.offset_seconds * space.rate,
        "labels": {name: dict(known) for name, known in loaded.conditioning.known_labels.items()},
        "label_rows": dict(space.label_rows) if loaded.conditioning.known_labels else {},
        "mean": space.mean_D.tolist(),
        "std": space.std_D.tolist(),
        "noise_scales": space.noise_scales_K2.tolist(),
        **{name: None if limit is None else limit.tolist() for name, limit in limits.items()},
    }


def _export(graph: nn.Module, given: dict[str, Tensor], outputs: dict[str, int], path: Path) -> None:
    """One graph whose number of frames is open. torch's older exporter writes it: the newer one fixes more lengths and
    needs onnxscript.

    outputs: the axis of frames by name.

    Raises UserError: ONNX has no form for an operation.
    """
    frames = {name: {2: "T"} for name in given if given[name].ndim == 3}
    frames |= {name: {axis: "T"} for name, axis in outputs.items()}
    with atomic_path(path) as temporary, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
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
        except torch.onnx.errors.OnnxExporterError as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise UserError(f"--onnx: {path.name} cannot be written, ONNX lacks an operation: {reason}") from None
