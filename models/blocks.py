"""Building blocks shared by the generators, the discriminators and the agents.

Legend: B batch, D latent channels, T frames, L tokens, E embedding width, H heads, S context tokens.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

RMS_GAIN_RANGE = (0.7, 1.5)  # an unbounded gain per stage made a cascade of three explode
EPS = 1e-8


def rms(x_BDT: Tensor) -> Tensor:
    """Root mean square of each sample over channels and frames, [B, 1, 1], in float32 (float64 stays)."""
    x_BDT = x_BDT.float() if x_BDT.dtype in (torch.bfloat16, torch.float16) else x_BDT
    return (x_BDT.square().mean(dim=(1, 2), keepdim=True) + EPS**2).sqrt()


def rescale_rms(x_BDT: Tensor, reference_rms: Tensor) -> Tensor:
    """Scales each sample towards a reference RMS [B, 1, 1], by a gain of clamp(reference / rms(x), 0.7, 1.5)."""
    return x_BDT * (reference_rms / rms(x_BDT)).clamp(*RMS_GAIN_RANGE).to(x_BDT.dtype)


def match_rms(x_BDT: Tensor, reference_rms: Tensor) -> Tensor:
    """Scales each sample to a reference RMS [B, 1, 1] exactly; silence stays silence."""
    return x_BDT * (reference_rms / rms(x_BDT)).to(x_BDT.dtype)


def masked_source(x_BDT: Tensor, mask_BDT: Tensor) -> Tensor:
    """x * mask, brought back to the RMS of x per sample (zero where the mask leaves nothing)."""
    return match_rms(x_BDT * mask_BDT, rms(x_BDT))


def tiled_dropout(x: Tensor, p: float, training: bool, copies: int = 1) -> Tensor:
    """Dropout whose mask is drawn for the first B / copies samples and repeated for the other copies.

    A finite difference D(x + s e) - D(x) inside one joined batch then sees the same network on both sides.
    x: [B, ...]; p in [0, 1); B must be a multiple of copies.
    """
    if not training or p == 0.0:
        return x
    if x.shape[0] % copies:
        raise ValueError(f"a batch of {x.shape[0]} does not consist of {copies} copies")
    return x * _dropout_mask((x.shape[0] // copies, *x.shape[1:]), p, x).repeat(copies, *[1] * (x.dim() - 1))


def _dropout_mask(shape: Sequence[int], p: float, like: Tensor) -> Tensor:
    """0 with probability p, else 1 / (1 - p).

    On a CPU torch draws Bernoulli numbers one at a time on one core, a fifth of a training step of the cascade. Here 16
    random bits per element are used, in a seventh of that time; p is rounded to a multiple of 1 / 65536, and so is the
    factor.
    """
    if like.device.type != "cpu":
        return torch.empty(shape, device=like.device, dtype=like.dtype).bernoulli_(1.0 - p).div_(1.0 - p)
    count, levels = math.prod(shape), 1 << 16
    zeros = min(round(p * levels), levels - 1)
    drawn = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(1 << 63), None)
    kept = drawn.view(torch.int16)[:count].view(shape) >= zeros - levels // 2
    return kept.to(like.dtype).mul_(levels / (levels - zeros))


class Dropout(nn.Dropout):
    """Dropout as torch's; on a CPU with `_dropout_mask`."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0.0 or x.device.type != "cpu":
            return super().forward(x)
        return x * _dropout_mask(x.shape, self.p, x)


def sinusoidal_positions(length: int, width: int, device: torch.device | None = None) -> Tensor:
    """Sine and cosine positions [length, width], computed for any length (Vaswani et al. 2017, section 3.5)."""
    frequencies = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10000.0) / width))
    angles = torch.arange(length, device=device)[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width]


def rotary_positions(length: int, head_width: int, device: torch.device | None = None) -> Tensor:
    """Factors of rotary positions (Su et al. 2021, equation 34), [2, length, 1, head_width]: cosines, signed sines."""
    frequencies = 10000.0 ** (-torch.arange(0, head_width, 2, device=device) / head_width)
    angles = torch.arange(length, device=device)[:, None, None] * frequencies
    return torch.stack([angles.cos().repeat(1, 1, 2), torch.cat([-angles.sin(), angles.sin()], dim=-1)])


def rotate(x_BLHE: Tensor, rotary_2L1E: Tensor) -> Tensor:
    """Rotates the two halves of the last dimension as pairs; scores then depend on the distance of tokens alone."""
    cos_L1E, sin_L1E = rotary_2L1E
    swapped_BLHE = x_BLHE.roll(x_BLHE.shape[-1] // 2, dims=-1)
    return torch.addcmul(x_BLHE * cos_L1E, swapped_BLHE, sin_L1E).to(x_BLHE.dtype)


def attend(q_BHLE: Tensor, k_BHSE: Tensor, v_BHSE: Tensor, dropout: float = 0.0) -> Tensor:
    """`scaled_dot_product_attention`; written out for dropout on a CPU, for which torch has no fast kernel; in float32
    on a CPU that trains in bfloat16, in which torch's kernel takes ten times as long for the gradients."""
    if q_BHLE.device.type == "cpu" and q_BHLE.dtype == torch.bfloat16 and torch.is_grad_enabled():
        with torch.autocast("cpu", enabled=False):
            return attend(q_BHLE.float(), k_BHSE.float(), v_BHSE.float(), dropout).to(torch.bfloat16)
    if dropout == 0.0 or q_BHLE.device.type != "cpu":
        return F.scaled_dot_product_attention(q_BHLE, k_BHSE, v_BHSE, dropout_p=dropout)
    weights_BHLS = ((q_BHLE * q_BHLE.shape[-1] ** -0.5) @ k_BHSE.transpose(-1, -2)).softmax(dim=-1)
    return (weights_BHLS * _dropout_mask(weights_BHLS.shape, dropout, weights_BHLS)) @ v_BHSE


class Attention(nn.Module):
    """Multi-head attention through `scaled_dot_product_attention`.

    forward(x_BLE, context_BSE=None, rotary=None): no context is self-attention; `rotary_positions` of L tokens rotate
    query and key. `conv_kernel` > 0 adds a depthwise convolution of the values over time beside attention (before the
    output projection); `zero_output` starts the whole branch at zero.
    """

    def __init__(
        self,
        width: int,
        nhead: int,
        dropout: float = 0.0,
        *,
        conv_kernel: int = 0,
        zero_output: bool = False,
    ):
        super().__init__()
        if width % nhead:
            raise ValueError(f"{nhead} heads do not divide a width of {width}")
        if conv_kernel and conv_kernel % 2 == 0:
            raise ValueError(f"conv_kernel must be odd (or 0 for none), not {conv_kernel}")
        self.nhead, self.dropout = nhead, dropout
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.conv = nn.Conv1d(width, width, conv_kernel, padding="same", groups=width) if conv_kernel else None
        self.output = nn.Linear(width, width)
        if zero_output:
            _zero(self.output)

    def forward(self, x_BLE: Tensor, context_BSE: Tensor | None = None, rotary: Tensor | None = None) -> Tensor:
        context_BSE = x_BLE if context_BSE is None else context_BSE
        key, value = self.key_value(context_BSE).chunk(2, dim=-1)
        q, k, v = (x.unflatten(-1, (self.nhead, -1)) for x in (self.query(x_BLE), key, value))  # [B, L, H, E / H]
        if rotary is not None:
            q, k = rotate(q, rotary), rotate(k, rotary)
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        mixed = attend(q, k, v, self.dropout if self.training else 0.0)
        mixed = mixed.transpose(1, 2).flatten(2)
        if self.conv is not None:
            mixed = mixed + self.conv(value.transpose(1, 2)).transpose(1, 2)
        return self.output(mixed)


Modulation = tuple[Tensor, Tensor]


class TransformerBlock(nn.Module):
    """Pre-norm block: x + attention(norm(x)), then x + feed-forward(norm(x)) with 4 E hidden units and GELU.

    Keyword options go to `Attention`; `zero_output` starts both residual branches at zero.
    forward(x_BLE, rotary=None, modulation=None) -> [B, L, E]. modulation: what both norms are scaled and shifted by
    (`modulated`).
    """

    def __init__(self, width: int, nhead: int, dropout: float = 0.0, *, zero_output: bool = False, **attention):
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention = Attention(width, nhead, dropout, zero_output=zero_output, **attention)
        self.norm_feed = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), Dropout(dropout), nn.Linear(4 * width, width))
        self.drop = Dropout(dropout)
        if zero_output:
            _zero(self.feed[-1])

    def forward(self, x_BLE: Tensor, rotary: Tensor | None = None, modulation: Modulation | None = None) -> Tensor:
        heard_BLE = modulated(self.norm_attention(x_BLE), modulation)
        x_BLE = x_BLE + self.drop(self.attention(heard_BLE, rotary=rotary))
        return x_BLE + self.drop(self.feed(modulated(self.norm_feed(x_BLE), modulation)))


def modulated(x_BLE: Tensor, modulation: Modulation | None) -> Tensor:
    """x (1 + scale) + shift, for (scale, shift) [B, 1, E] each; None leaves x as it is.

    The adaptive layer norm of Peebles and Xie 2023, "Scalable Diffusion Models with Transformers", sec. 3.2.
    """
    if modulation is None:
        return x_BLE
    scale_B1E, shift_B1E = modulation
    return torch.addcmul(shift_B1E, x_BLE, 1 + scale_B1E)


def _zero(layer: nn.Linear) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


class SpectralLinear(nn.Module):
    """A linear layer whose weight has a spectral norm of 1 (Miyato et al. 2018), [..., E] -> [..., D].

    The power iteration runs outside autocast: in half precision the estimate would be off by one percent.
    """

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.linear = parametrizations.spectral_norm(nn.Linear(in_features, out_features))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            weight = self.linear.weight
        return F.linear(x, weight, self.linear.bias)


class StridedConv1d(nn.Conv1d):
    """Torch's convolution, on CPUs with zeros appended until the input is a whole number of strides.

    The zeros lie where padding would lie (padding kernel // 2, odd kernels), so no output changes. Without them oneDNN
    3.12, in torch 2.13, differentiates some of these convolutions wrongly with several threads: for kernel 7, stride 2
    and lengths of 11 modulo 16, four seconds of latents among them, a thread's copy of the gradient overruns its buffer
    into the next thread's. The gradients are off by up to a quarter, and differ from call to call.
    """

    def forward(self, x: Tensor) -> Tensor:
        missing = -x.shape[-1] % self.stride[0] if x.device.type == "cpu" else 0
        return super().forward(F.pad(x, (0, missing)) if missing else x)
