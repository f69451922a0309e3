"""From any number of channels to one. N samples, C channels."""

import numpy as np

_ROOT = float(np.sqrt(0.5))
# What each loudspeaker adds to left and right (ITU-R BS.775), as the mean of both; the low frequencies are left out.
WEIGHTS = {"FL": 0.5, "FR": 0.5, "FC": _ROOT, "LFE": 0.0, "BC": 0.5, "FLC": 0.5, "FRC": 0.5}
WEIGHTS |= dict.fromkeys(("BL", "BR", "SL", "SR"), 0.5 * _ROOT)
# Loudspeakers by number of channels, in the order of wav and flac files, and in that of ogg.
_ORDERS = {
    3: "FL FR FC",
    4: "FL FR BL BR",
    5: "FL FR FC BL BR",
    6: "FL FR FC LFE BL BR",
    7: "FL FR FC LFE BC SL SR",
    8: "FL FR FC LFE BL BR SL SR",
}
_OGG_ORDERS = {
    3: "FL FC FR",
    4: "FL FR BL BR",
    5: "FL FC FR BL BR",
    6: "FL FC FR BL BR LFE",
    7: "FL FC FR SL SR BC LFE",
    8: "FL FC FR SL SR BL BR LFE",
}


def loudspeakers(channels: int, container: str = "WAV") -> tuple[str, ...]:
    """Names of the loudspeakers of 3 to 8 channels, in the order of the file; () for other numbers."""
    return tuple((_OGG_ORDERS if container == "OGG" else _ORDERS).get(channels, "").split())


def to_mono(block_NC: np.ndarray, names: tuple[str, ...] = ()) -> np.ndarray:
    """[N, C] -> float32 [N]: the mean of one or two channels, the usual down-mix of more, for `names` as given by
    `loudspeakers`; their mean where they have no names.

    One and two channels are added without numpy's slow sum over short rows.
    """
    channels = block_NC.shape[1]
    if channels == 1:
        return block_NC[:, 0]
    if channels == 2:
        return (block_NC[:, 0] + block_NC[:, 1]) * np.float32(0.5)
    if len(names) == channels and all(name in WEIGHTS for name in names):
        return block_NC @ np.array([WEIGHTS[name] for name in names], np.float32)
    return block_NC.mean(axis=1, dtype=np.float32)


class Balance:
    """Compares the mono signal with its channels, block by block: of channels in opposite phase little is left."""

    CANCELLED = 0.01  # of the loudest channel's power: 20 dB; independent channels keep half of it

    def __init__(self) -> None:
        self._mono, self._channels = 0.0, np.zeros(0)

    def add(self, block_NC: np.ndarray, mono_N: np.ndarray) -> None:
        """Adds the next samples, before and after the down-mix."""
        if block_NC.shape[1] < 2 or len(mono_N) == 0:
            return
        self._mono += float(np.dot(mono_N, mono_N))
        power_C = np.array([float(np.dot(row_N, row_N)) for row_N in np.ascontiguousarray(block_NC.T)])
        self._channels = power_C if len(self._channels) != len(power_C) else self._channels + power_C

    @property
    def channel(self) -> int | None:
        """The loudest channel, if it must stand for all of them; None if the down-mix holds them well."""
        if len(self._channels) == 0:
            return None
        loudest = int(np.argmax(self._channels))
        return loudest if self._mono < self.CANCELLED * self._channels[loudest] else None
