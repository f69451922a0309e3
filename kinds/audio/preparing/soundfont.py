"""Plays lines with the instruments of a soundfont (.sf2), through the package tinysoundfont. N audio samples."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from errors import UserError
from kinds.audio.preparing.varied_lines import CURVE_RATE, MAX_BEND, Line

INSTALL = "pip install --no-deps tinysoundfont"
WHERE = "Debian's fluid-soundfont-gm has a free one (MIT licence) at /usr/share/sounds/sf2/FluidR3_GM.sf2"
DRUM_BANK, DRUM_CHANNEL = 128, 9
MELODIC_CHANNELS = tuple(channel for channel in range(16) if channel != DRUM_CHANNEL)
_QUIET, _PATIENCE = 1e-7, 20  # how silent the synthesiser is before a song, and for how many blocks that is awaited
_VOICES = 512


@dataclass(frozen=True)
class Part:
    """A line and who plays it: a General MIDI program from 0, or with `drums` a drum kit; `gain` in 0..1."""

    line: Line
    program: int
    drums: bool = False
    gain: float = 1.0


def check_soundfont(path: str) -> None:
    """Raises UserError where the package is missing or the file is no soundfont."""
    _load(path, 24_000)


@functools.lru_cache(maxsize=1)
def open_soundfont(path: str, sample_rate: int) -> "SoundFontPlayer":
    """The player of a soundfont, kept for this process. Raises UserError like `check_soundfont`."""
    return SoundFontPlayer(path, sample_rate)


def _load(path: str, sample_rate: int):
    """(synthesiser, number of the soundfont in it)."""
    try:
        import tinysoundfont
    except ImportError:
        raise UserError(f"--soundfont needs the package tinysoundfont ({INSTALL}) and a soundfont; {WHERE}.") from None
    synth = tinysoundfont.Synth(gain=-6, samplerate=sample_rate)
    try:
        return synth, synth.sfload(path, max_voices=_VOICES)
    except (RuntimeError, OSError, MemoryError):
        raise UserError(f"--soundfont {path} is no soundfont (its player: {INSTALL}); {WHERE}.") from None


class SoundFontPlayer:
    """A loaded soundfont. `programs` and `kits` are the numbers of its melodic programs and drum kits."""

    def __init__(self, path: str, sample_rate: int):
        self.sample_rate = sample_rate
        self._synth, self._id = _load(path, sample_rate)
        self.programs = self._present(0)
        self.kits = self._present(DRUM_BANK)
        if not self.programs:
            raise UserError(f"--soundfont {path} has no General MIDI programs (package: {INSTALL}); {WHERE}.")

    def _present(self, bank: int) -> tuple[int, ...]:
        return tuple(preset for preset in range(128) if self._synth.sfpreset_name(self._id, bank, preset) is not None)

    def play(self, parts: Sequence[Part], seconds: float) -> np.ndarray:
        """Play at most 15 melodic parts and one of drums -> float32 [round(seconds * sample_rate)], not normalised.

        The result depends on `parts` alone, not on what was played before.
        """
        self._silence()
        events = self._events(parts)
        count, at, pieces = round(seconds * self.sample_rate), 0, []
        for sample, _, act in sorted(events, key=lambda event: event[:2]):
            if sample >= count:
                break
            if sample > at:
                pieces.append(self._generate(sample - at))
                at = sample
            act()
        pieces.append(self._generate(count - at))
        return np.concatenate(pieces)

    def _silence(self) -> None:
        """Stop every voice and forget the state of all channels."""
        self._synth.soundfonts[self._id].reset()
        for _ in range(_PATIENCE):
            if np.abs(self._generate(2048)).max() < _QUIET:
                break
        self._synth.soundfonts[self._id].reset()

    def _generate(self, samples: int) -> np.ndarray:
        if samples <= 0:
            return np.zeros(0, np.float32)
        stereo = np.frombuffer(self._synth.generate(samples), np.float32).reshape(-1, 2)
        return stereo.mean(axis=1)

    def _events(self, parts: Sequence[Part]) -> list:
        """(sample, order, what to do) of everything: ends before starts, curves between."""
        events = []
        channels = iter(MELODIC_CHANNELS)
        for part in parts:
            channel = DRUM_CHANNEL if part.drums else next(channels)
            self._choose(channel, part)
            for tone in part.line.tones:
                start = round(tone.start * self.sample_rate)
                end = max(start + 1, round((tone.start + tone.seconds) * self.sample_rate))
                velocity = int(np.clip(round(127 * tone.velocity), 1, 127))
                events.append((start, 2, functools.partial(self._synth.noteon, channel, tone.pitch, velocity)))
                events.append((end, 0, functools.partial(self._synth.noteoff, channel, tone.pitch)))
            events += self._curve(part.line.bend, functools.partial(self._bend, channel))
            events += self._curve(part.line.swell, functools.partial(self._loudness, channel, 11))
        return events

    def _choose(self, channel: int, part: Part) -> None:
        self._synth.program_select(channel, self._id, 0, part.program, part.drums)
        self._synth.pitchbend_range(channel, MAX_BEND)
        self._loudness(channel, 7, part.gain)

    def _curve(self, curve: np.ndarray | None, act) -> list:
        if curve is None:
            return []
        return [
            (i * self.sample_rate // CURVE_RATE, 1, functools.partial(act, float(value)))
            for i, value in enumerate(curve)
            if i == 0 or value != curve[i - 1]
        ]

    def _bend(self, channel: int, semitones: float) -> None:
        self._synth.pitchbend(channel, int(np.clip(round(8192 + 8192 * semitones / MAX_BEND), 0, 16383)))

    def _loudness(self, channel: int, controller: int, gain: float) -> None:
        """Set a controller of loudness, whose gain is the third power of its value."""
        self._synth.control_change(channel, controller, int(np.clip(round(127 * gain ** (1 / 3)), 0, 127)))
