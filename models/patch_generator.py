"""The patch generator: a token is a patch of frames, so there are fewer, wider tokens than in the baseline.

Legend: B batch, D latent channels, T frames (75 per second), P frames per patch, L tokens = ceil(T / P), E width,
S sources of a stage, its smoothed ones included, Y = D P numbers of a patch, X = S D P of a patch of all sources.
"""

import math
from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks import Modulation, TransformerBlock, modulated, rotary_positions
from models.conditions import ConditionEmbedding, Conditions
from models.options import PatchOptions
from models.refinement import LocalRefinement

SMOOTHING = (3, 9, 27)  # frames, odd: 40, 120 and 360 ms
CONV_KERNEL = 5  # tokens, of the depthwise convolution beside attention
SILENCE = 1e-4  # added to mean squares before the logarithm; latents are normalised to 1


class PatchStage(nn.Module):
    """Patches -> linear -> blocks -> norm -> linear back to patches, plus gated sources.

    Besides its sources a stage sees their mean, smoothed over several window lengths: an estimate of held tones under
    noise. Otherwise attention would use much of its width for averaging. Statistics of the whole clip, above all its
    noise level, and conditions scale and shift every norm.
    With `precondition` the output is the sources' mean + `apart_share` * made, so that at low noise the network's own
    errors are small as well (c_out of Karras et al. 2022, sec. 5, in another form). With `refine_channels`,
    convolutions over bands and frames, which see all sources and what is made, add to it.
    """

    def __init__(
        self,
        channels: int,
        sources: int,
        width: int,
        nhead: int,
        num_layers: int,
        patch_frames: int,
        dropout: float = 0.0,
        precondition: bool = False,
        conditions: Mapping[str, int] | None = None,
        statistics: bool = True,
        refine_channels: int = 0,
    ):
        super().__init__()
        self.patch_frames, self.head_width, self.precondition = patch_frames, width // nhead, precondition
        exact, sources = sources, sources + len(SMOOTHING)
        self.embed = nn.Linear(channels * sources * patch_frames, width)
        self.blocks = nn.ModuleList(
            TransformerBlock(width, nhead, dropout, zero_output=True, conv_kernel=CONV_KERNEL)
            for _ in range(num_layers)
        )
        self.modulate = ClipModulation(channels, width, num_layers + 1, conditions, statistics)
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, channels * patch_frames)
        self.gate = nn.Linear(width, sources * channels * patch_frames)
        self.refine = (
            LocalRefinement(sources + 1, refine_channels, patch_frames, conditions) if refine_channels else None
        )
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)
        if not precondition:
            nn.init.constant_(self.gate.bias[: exact * channels * patch_frames], 1 / exact)

    def forward(self, sources: list[Tensor], conditions: Conditions | None = None) -> Tensor:
        modulations = self.modulate(sources[0], sources[1], conditions)
        mean_BDT, planes, sources_BLX = self.patches(sources)
        *_, x_BLE = self.block_outputs(sources_BLX, modulations)
        x_BLE = modulated(self.norm(x_BLE), modulations[-1])
        gated_BLY = (self.gate(x_BLE) * sources_BLX).unflatten(2, (len(planes), -1)).sum(dim=2)
        made_BDT = from_patches(self.output(x_BLE) + gated_BLY, self.patch_frames)
        if self.refine is not None:
            made_BDT = made_BDT + self.refine([*planes, made_BDT], conditions)
        if not self.precondition:
            return made_BDT
        return mean_BDT + apart_share(*sources[:2]) * made_BDT

    def features(self, sources: list[Tensor], conditions: Conditions | None = None) -> list[Tensor]:
        """What every block computes, [B, L, E] each."""
        modulations = self.modulate(sources[0], sources[1], conditions)
        return list(self.block_outputs(self.patches(sources)[2], modulations))

    def patches(self, sources: list[Tensor]) -> tuple[Tensor, list[Tensor], Tensor]:
        """The mean of the sources [B, D, T]; the sources and their smoothed means; patches of these [B, L, X]."""
        mean_BDT = torch.stack(sources).mean(dim=0)
        planes = [*sources, *(moving_mean(mean_BDT, frames) for frames in SMOOTHING)]
        return mean_BDT, planes, to_patches(torch.cat(planes, dim=1), self.patch_frames)

    def block_outputs(self, sources_BLX: Tensor, modulations: list[Modulation]) -> Iterator[Tensor]:
        """[B, L, E] after each block, one after the other."""
        x_BLE = self.embed(sources_BLX)
        rotary = rotary_positions(x_BLE.shape[1], self.head_width, x_BLE.device)
        for block, modulation in zip(self.blocks, modulations, strict=False):
            x_BLE = block(x_BLE, rotary, modulation)
            yield x_BLE


class ClipModulation(nn.Module):
    """Scales and shifts for `count` norms of width E, from statistics of the whole clip and conditions; all start at
    zero.

    A denoiser that has to infer the noise level, and whether a clip is rough or smooth, from single tokens returns an
    average: outputs that are too similar for all clips.

    conditions: their widths by name (`models.conditions`); statistics: False leaves the clip's statistics out.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        count: int,
        conditions: Mapping[str, int] | None = None,
        statistics: bool = True,
    ):
        super().__init__()
        self.width = width
        self.hidden = nn.Linear(2 * channels + 1, channels) if statistics else None
        self.output = nn.Linear(channels, 2 * count * width)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.embed = ConditionEmbedding(conditions, channels) if conditions else None

    def forward(self, input_BDT: Tensor, target_BDT: Tensor, conditions: Conditions | None = None) -> list[Modulation]:
        with torch.autocast(input_BDT.device.type, enabled=False):  # -9 in 8 bits is off by 2 % of the power
            hidden_BD = 0.0 if self.embed is None else self.embed(conditions)
            if self.hidden is not None:
                hidden_BD = hidden_BD + self.hidden(clip_statistics(input_BDT, target_BDT))
            parts = self.output(F.gelu(hidden_BD))[:, None].split(self.width, dim=2)
        return list(zip(parts[::2], parts[1::2], strict=True))


class PatchCascadeGenerator(nn.Module):
    """A cascade like the baseline, with patches as tokens and residual branches that start at zero.

    channels          D, of the latents.
    width, nhead      E and heads; width / nhead must be an even integer.
    num_layers        blocks per stage, from 1; num_stages from 1. Stage s sees input, target and s earlier outputs.
    patch_frames      P from 1; a T that is no multiple is padded by repeating the last frame and trimmed.
    dropout           in attention and feed-forward, [0, 1).
    precondition      a stage returns its sources' mean plus its own output, gated sources included (all gates start
                      at 0), times `apart_share`.
    conditions        widths of the conditions it takes, by name.
    statistics        False leaves out the clip's statistics; needs conditions.
    refine_channels   of the convolutions behind the last stage (`models.refinement`); 0: none.

    A stage adds g_s * source_s, with learned gates for every channel and frame. The gates start at one over the number
    of its sources, so that the sum is their mean, and at 0 for the smoothed ones. Separate gates let the network use
    noisy, smoothed or clean sources in each band.
    Raises ValueError for sizes that do not fit together.
    """

    def __init__(
        self,
        channels: int = 128,
        width: int = 192,
        nhead: int = 6,
        num_layers: int = 4,
        num_stages: int = 1,
        patch_frames: int = 2,
        dropout: float = 0.0,
        precondition: bool = False,
        conditions: Mapping[str, int] | None = None,
        statistics: bool = True,
        refine_channels: int = 0,
    ):
        super().__init__()
        if not (statistics or conditions):
            raise ValueError("without clip_statistics the generator must take conditions, such as the noise level")
        if min(num_stages, num_layers, patch_frames) < 1:
            raise ValueError(f"no cascade: {num_stages} stages, {num_layers} layers, {patch_frames} frames per patch")
        if width % (2 * nhead):
            raise ValueError(f"{nhead} heads do not divide a width of {width} into even parts")
        self.patch_frames, self.takes_conditions = patch_frames, bool(conditions)
        self.stages = nn.ModuleList(
            PatchStage(
                channels,
                2 + stage,
                width=width,
                nhead=nhead,
                num_layers=num_layers,
                patch_frames=patch_frames,
                dropout=dropout,
                precondition=precondition,
                conditions=conditions,
                statistics=statistics,
                refine_channels=refine_channels if stage == num_stages - 1 else 0,
            )
            for stage in range(num_stages)
        )

    @classmethod
    def from_options(
        cls, options: PatchOptions, channels: int, conditions: Mapping[str, int] | None = None
    ) -> "PatchCascadeGenerator":
        """As `--generator patch` describes it, for latents of that many channels."""
        o = options
        return cls(
            channels,
            width=o.width,
            nhead=o.nhead,
            num_layers=o.num_layers,
            num_stages=o.num_transformer_layers,
            patch_frames=o.patch_frames,
            dropout=o.dropout,
            precondition=o.precondition,
            conditions=conditions,
            statistics=o.clip_statistics,
            refine_channels=o.refine_channels,
        )

    def forward_stages(
        self, input_BDT: Tensor, target_BDT: Tensor, conditions: Conditions | None = None
    ) -> list[Tensor]:
        """The outputs [B, D, T] of all stages, the last one being the generator's."""
        sources = self.padded(input_BDT, target_BDT)
        for stage in self.stages:
            sources.append(stage(sources, conditions))
        return [made_BDT[:, :, : input_BDT.shape[2]] for made_BDT in sources[2:]]

    def padded(self, *sources: Tensor) -> list[Tensor]:
        """The sources [B, D, T] with the last frame repeated up to a whole number of patches."""
        missing = -sources[0].shape[2] % self.patch_frames
        return [F.pad(x_BDT, (0, missing), mode="replicate") for x_BDT in sources]

    # --- as the body of a discriminator (`models.denoiser_discriminator`) ---------------------------------------------

    def features(self, input_BDT: Tensor, target_BDT: Tensor, conditions: Conditions | None = None) -> list[Tensor]:
        """What every block of the last stage computes, [B, L, E] each."""
        sources = self.padded(input_BDT, target_BDT)
        for stage in self.stages[:-1]:
            sources.append(stage(sources, conditions))
        return self.stages[-1].features(sources, conditions)

    def keep_features(self, share: float) -> None:
        """Removes from the last stage what `features` does not need, and all blocks but the first `share` of them."""
        last = self.stages[-1]
        last.blocks = last.blocks[: max(1, math.ceil(share * len(last.blocks)))]
        del last.norm, last.output, last.gate
        last.refine = None

    @property
    def feature_sizes(self) -> tuple[int, int]:
        """The number of blocks of the last stage, and E."""
        last = self.stages[-1]
        return len(last.blocks), last.embed.out_features

    def forward(self, input_BDT: Tensor, target_BDT: Tensor, conditions: Conditions | None = None) -> Tensor:
        """(noisy) input and (noisy) target [B, D, T] -> [B, D, T], for any T from 1."""
        return self.forward_stages(input_BDT, target_BDT, conditions)[-1]


def moving_mean(x_BDT: Tensor, frames: int) -> Tensor:
    """The mean over `frames` (odd) around each frame, over those that there are near the ends; [B, D, T]."""
    return F.avg_pool1d(x_BDT, frames, stride=1, padding=frames // 2, count_include_pad=False)


def apart_share(input_BDT: Tensor, target_BDT: Tensor) -> Tensor:
    """min(1, sqrt(2) |input - target|), root mean square of a clip: [B, 1, 1], in 0..1.

    For sources that are the same music (deviation 1) with noise level alpha this is min(1, 2 alpha): 1 from alpha = 0.5
    on. A smaller share at high noise would impair learning there.
    """
    apart_B11 = (input_BDT - target_BDT).detach().square().mean(dim=(1, 2), keepdim=True)  # a root at 0 has no gradient
    return (2 * apart_B11).sqrt().clamp(max=1)


def clip_statistics(input_BDT: Tensor, target_BDT: Tensor) -> Tensor:
    """Statistics of a whole clip, [B, 2 D + 1].

    Of the sources' mean, per channel: its mean over frames, then the log mean square of its changes from frame to
    frame. Last, the log mean square of the sources' difference: the noise's level where both are the same music.
    """
    mean_BDT = (input_BDT + target_BDT) / 2
    change_BD = (mean_BDT[:, :, 1:] - mean_BDT[:, :, :-1]).square().sum(dim=2) / max(1, mean_BDT.shape[2] - 1)
    apart_B1 = (input_BDT - target_BDT).square().mean(dim=(1, 2))[:, None]
    return torch.cat([mean_BDT.mean(dim=2), (change_BD + SILENCE).log(), (apart_B1 + SILENCE).log()], dim=1)


def to_patches(x_BDT: Tensor, patch_frames: int) -> Tensor:
    """[B, D, L * P] -> [B, L, D * P]. The number of patches is written out, so that an export to ONNX keeps it open."""
    B, D, T = x_BDT.shape
    return x_BDT.reshape(B, D, T // patch_frames, patch_frames).permute(0, 2, 1, 3).flatten(2)


def from_patches(x_BLE: Tensor, patch_frames: int) -> Tensor:
    """[B, L, D * P] -> [B, D, L * P], the inverse of `to_patches`."""
    return x_BLE.unflatten(2, (-1, patch_frames)).permute(0, 2, 1, 3).flatten(2)
