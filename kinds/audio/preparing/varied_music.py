"""Varied demo music: far more timbres, textures and levels than the demo songs, for training decoders of audio.

A song is of one of four kinds: "composed" (a demo song's score, other players), "free" (one to eight voices of any
pace), "drums" (alone or with one voice), played with a soundfont, and "synthetic", played by the instruments here.
Without a soundfont all songs are synthetic. The seed (and the soundfont) decides everything. N audio samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinds.audio.files import SAMPLE_RATE
from kinds.audio.preparing.demo_music import compose, demo_song, drum_hits, swung
from kinds.audio.preparing.soundfont import Part, SoundFontPlayer, check_soundfont, open_soundfont
from kinds.audio.preparing.varied_finish import finish
from kinds.audio.preparing.varied_lines import Line, Tone, choose_frame, write_drums, write_line
from kinds.audio.preparing.varied_sounds import MAKERS, play_drums, play_line, wind
from runtime.files import file_digest

VERSION = 1  # raised whenever the same seed gives other samples
SHARES = {"composed": 0.35, "free": 0.35, "drums": 0.08, "synthetic": 0.22}
SYNTHETIC_SHARES = {"demo": 0.3, "free": 0.5, "drums": 0.1, "wind": 0.1}  # within "synthetic"
MELODIC = 120  # General MIDI programs above are noises
_ATTEMPTS = 8
_AUDIBLE = 1e-4
COMPASS = (  # lowest and highest pitch of every eight General MIDI programs
    *((26, 100), (53, 98), (36, 96), (40, 84), (26, 60), (36, 92), (38, 88), (36, 82)),
    *((44, 88), (55, 100), (38, 92), (36, 88), (38, 90), (45, 86), (45, 84), (36, 84)),
)
PROGRAMS = {  # General MIDI programs that suit the parts of a composed song
    "lead": (0, 4, 6, *range(8, 16), 21, 22, *range(24, 28), 29, 40, 41, 42, 52, 53, 54, *range(56, 88), 104, 110),
    "chords": (*range(12), 15, *range(16, 22), *range(24, 32), 45, 46, 48, 61, 62, 63, *range(88, 96), 104, 107),
    "pad": (16, 18, 19, 20, 44, *range(48, 55), 60, 61, *range(88, 96), 99),
    "bass": (*range(32, 40), 43, 58, 67, 70, 87),
}
GAINS = {"pad": 0.35, "chords": 0.45, "bass": 0.7, "lead": 0.75, "drums": 0.75}
KEYS = {"kick": (35, 36), "snare": (38, 40, 37, 39), "hat": (42, 44), "open": (46, 51), "shaker": (69, 70, 82)}


@dataclass(frozen=True)
class Varied:
    """How varied songs are played: with a soundfont, of which `digest` identifies the contents, or without."""

    soundfont: str | None = None
    digest: str = ""

    @classmethod
    def using(cls, soundfont: Path | None) -> "Varied":
        """With this soundfont, if any. Raises UserError where it cannot be played."""
        if soundfont is None:
            return cls()
        check_soundfont(str(soundfont))
        return cls(str(soundfont), file_digest(soundfont))

    def identity(self, seed: int, seconds: float) -> str:
        """A text that is the same for the same samples only."""
        return f"varied {VERSION} {self.digest} {seed} {seconds}"

    def record(self) -> dict[str, str | int | None]:
        """What a dataset's manifest says about it."""
        file = self.soundfont and f"{Path(self.soundfont).name} {self.digest}"
        return {"demo": "varied", "varied_version": VERSION, "soundfont": file}


def varied_song(
    seed: int, seconds: float, sample_rate: int = SAMPLE_RATE, soundfont: str | None = None, kind: str | None = None
) -> np.ndarray:
    """A song of exactly `seconds` -> float32 [N], peak at most 0.99; the same for the same arguments.

    `soundfont` is the path of a soundfont; `kind` is one of `SHARES` instead of a random one. Raises ValueError for
    impossible arguments, UserError if the soundfont cannot be played.
    """
    if seconds <= 0 or sample_rate <= 0 or kind not in (None, *SHARES):
        raise ValueError("varied_song takes a positive length and sample rate, and a kind of song")
    kind = kind or song_kind(seed, soundfont is not None)
    if soundfont is None and kind != "synthetic":
        raise ValueError(f"songs of the kind {kind} take a soundfont")
    wav = np.zeros(round(seconds * sample_rate), np.float32)
    for attempt in range(_ATTEMPTS):  # some instruments are silent at some pitches
        rng = np.random.default_rng([seed, 0x76617279, attempt])
        wav = _dry(rng, kind, seed, seconds, sample_rate, soundfont)
        if len(wav) and np.isfinite(wav).all() and np.abs(wav).max() > _AUDIBLE:
            break
    return finish(np.nan_to_num(wav, posinf=0.0, neginf=0.0), sample_rate, rng)


def song_kind(seed: int, soundfont: bool) -> str:
    """The kind of the song of this seed, one of `SHARES`."""
    if not soundfont:
        return "synthetic"
    return _choose(np.random.default_rng([seed, 0x6B696E64]), SHARES)


def _choose(rng: np.random.Generator, shares: dict[str, float]) -> str:
    return str(rng.choice(list(shares), p=list(shares.values())))


def _dry(
    rng: np.random.Generator, kind: str, seed: int, seconds: float, sample_rate: int, soundfont: str | None
) -> np.ndarray:
    """A song without room and of any level -> float32 [N]."""
    if kind == "synthetic":
        return _synthetic(rng, seed, seconds, sample_rate)
    player = open_soundfont(str(soundfont), sample_rate)
    write = {"composed": _composed, "free": _free, "drums": _drums}[kind]
    return player.play(write(rng, seconds, player), seconds)


def _composed(rng: np.random.Generator, seconds: float, player: SoundFontPlayer) -> list[Part]:
    """The score of a demo song on random fitting programs and a random drum kit."""
    song = compose(rng, seconds)
    beat = 60.0 / song.tempo
    loose, force = float(rng.uniform(0.0, 0.02)), float(rng.uniform(0.6, 1.2))
    lines: dict[str, list[Tone]] = {}
    for written in song.notes:
        start = swung(written.start, song.swing) * beat + float(rng.uniform(0.0, loose))
        velocity = float(np.clip(force * written.velocity * rng.uniform(0.85, 1.1), 0.08, 1.0))
        lines.setdefault(written.part, []).append(Tone(start, written.length * beat, written.pitch, velocity))
    parts = []
    for part, tones in lines.items():
        program = _present(rng, PROGRAMS[part], player.programs)
        parts.append(Part(Line(tuple(tones)), program, gain=_gain(rng, GAINS[part])))
    keys = {part: int(rng.choice(choices)) for part, choices in KEYS.items()}
    hits = [
        Tone(swung(at, song.swing) * beat, 0.1, keys[part], float(np.clip(force * velocity, 0.08, 1.0)))
        for part, at, velocity in drum_hits(song, seconds, rng)
    ]
    return [*parts, *_kit(rng, Line(tuple(hits)), player)]


def _free(rng: np.random.Generator, seconds: float, player: SoundFontPlayer) -> list[Part]:
    """One to eight voices, each with a program, a register and a pace of its own."""
    frame = choose_frame(rng)
    voices = int(rng.choice(np.arange(1, 9), p=[0.2, 0.2, 0.17, 0.14, 0.1, 0.08, 0.06, 0.05]))
    parts = []
    for _ in range(voices):
        program = _present(rng, range(MELODIC), player.programs)
        line = write_line(rng, seconds, frame, *COMPASS[min(program, MELODIC - 1) // 8])
        parts.append(Part(line, program, gain=_gain(rng, 0.5)))
    return parts


def _drums(rng: np.random.Generator, seconds: float, player: SoundFontPlayer) -> list[Part]:
    """A pattern of drums, in every second song with one voice."""
    parts = _kit(rng, write_drums(rng, seconds), player)
    if rng.random() < 0.5 or not parts:
        program = _present(rng, range(MELODIC), player.programs)
        line = write_line(rng, seconds, choose_frame(rng), *COMPASS[min(program, MELODIC - 1) // 8])
        parts.append(Part(line, program, gain=_gain(rng, 0.4)))
    return parts


def _kit(rng: np.random.Generator, line: Line, player: SoundFontPlayer) -> list[Part]:
    if not player.kits:
        return []
    return [Part(line, int(rng.choice(player.kits)), drums=True, gain=_gain(rng, GAINS["drums"]))]


def _present(rng: np.random.Generator, wanted: Sequence[int], present: Sequence[int]) -> int:
    """One of the wanted programs that the soundfont has; any of its programs if it has none of them."""
    return int(rng.choice([program for program in wanted if program in present] or present))


def _gain(rng: np.random.Generator, usual: float) -> float:
    """A gain up to 6 dB around the usual one, at most 1."""
    return min(1.0, usual * 10.0 ** float(rng.uniform(-0.3, 0.3)))


def _synthetic(rng: np.random.Generator, seed: int, seconds: float, sample_rate: int) -> np.ndarray:
    """A song of the instruments here -> float32 [N]."""
    manner = _choose(rng, SYNTHETIC_SHARES)
    if manner == "demo":
        return demo_song(seed, seconds, sample_rate)
    wav = np.zeros(round(seconds * sample_rate), np.float32)
    if manner == "drums" or (manner == "free" and rng.random() < 0.25):
        wav += play_drums(write_drums(rng, seconds), seconds, sample_rate, rng) * np.float32(_gain(rng, 0.5))
    if manner == "wind" or (manner == "free" and rng.random() < 0.1):
        wav += wind(seconds, sample_rate, rng) * np.float32(_gain(rng, 0.3))
    voices = int(rng.choice(np.arange(1, 7))) if manner == "free" else int(rng.random() < 0.5)
    frame = choose_frame(rng)
    for _ in range(voices):
        maker, low, high = MAKERS[str(rng.choice(list(MAKERS)))]
        line, voice = write_line(rng, seconds, frame, low, high), maker(rng)
        wav += play_line(line, voice, seconds, sample_rate, rng) * np.float32(_gain(rng, 0.4))
    return wav
