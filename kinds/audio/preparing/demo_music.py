"""Demo music: short songs with chords, bass, melody, drums and a form, written and played by a seeded generator.

It allows the whole program to be tried without recordings. A seed determines key, mode, tempo, metre, swing,
harmony, motif, instruments, arrangement and room; the same seed gives the same song. Pitches are MIDI numbers, time is
counted in beats until it is played. N audio samples.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from kinds.audio.files import SAMPLE_RATE
from kinds.audio.preparing.demo_sounds import BASSES, CHORDS, LEADS, PADS, Timbre, drum_kit, note, reverb

MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}
PROGRESSIONS = {  # scale degrees from 0, one per bar
    "major": ((0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 1, 4), (0, 2, 3, 4)),
    "minor": ((0, 5, 2, 6), (0, 3, 5, 4), (0, 6, 5, 6), (5, 6, 0, 0), (0, 3, 0, 4)),
    "dorian": ((0, 3, 0, 3), (0, 6, 3, 0), (0, 1, 2, 3)),
    "mixolydian": ((0, 6, 3, 0), (0, 3, 6, 3), (0, 4, 6, 3)),
}
DRUMS = {  # part -> beats within a bar of four (or three), with velocities
    "rock": {"kick": ((0, 1.0), (2, 0.9), (2.5, 0.6)), "snare": ((1, 0.9), (3, 1.0)), "hat": "eighths"},
    "dance": {"kick": ((0, 1.0), (1, 0.95), (2, 1.0), (3, 0.95)), "snare": ((1, 0.6), (3, 0.7)), "open": "offbeats"},
    "slow groove": {"kick": ((0, 1.0), (1.75, 0.6), (2.5, 0.8)), "snare": ((1, 0.9), (3, 0.95)), "hat": "sixteenths"},
    "shuffle": {"kick": ((0, 0.9), (2, 0.8)), "snare": ((1, 0.6), (3, 0.7)), "shaker": "eighths"},
    "waltz": {"kick": ((0, 0.9),), "snare": ((1, 0.35), (2, 0.4)), "hat": "quarters"},
}
GRIDS = {"quarters": (1.0, 0.0), "eighths": (0.5, 0.0), "sixteenths": (0.25, 0.0), "offbeats": (1.0, 0.5)}
FORMS = (  # parts heard in each section of two bars; the last one repeats
    ("pad chords", "chords bass lead drums", "chords bass lead drums pad", "pad bass drums", "chords bass lead drums"),
    ("chords bass drums", "chords bass lead drums", "pad lead", "chords bass lead drums pad"),
    ("lead pad", "chords bass lead", "chords bass lead drums", "chords bass drums", "chords bass lead drums pad"),
    ("bass drums", "chords bass drums", "chords bass lead drums", "chords bass lead drums pad", "lead pad bass"),
)
LEVELS = {"pad": 0.16, "chords": 0.24, "bass": 0.42, "lead": 0.36}
DRUM_LEVELS = {"kick": 0.62, "snare": 0.34, "hat": 0.10, "open": 0.12, "shaker": 0.12}
RMS_TARGET = 0.12  # about -18 dBFS


@dataclass(frozen=True)
class Note:
    """`start` and `length` in beats, `velocity` in 0..1."""

    part: str
    start: float
    length: float
    pitch: int
    velocity: float


@dataclass
class Song:
    """Everything that is drawn once per song; see `compose`."""

    tempo: float
    beats: int
    root: int
    mode: str
    swing: float
    verse: tuple[int, ...]
    bridge: tuple[int, ...]
    form: tuple[str, ...]
    drums: str
    kit: str
    comping: str
    timbres: dict[str, Timbre]
    motif: list[tuple[float, float]]
    lead_octave: int
    room: float
    notes: list[Note] = field(default_factory=list)

    def pitch(self, degree: int, octave: int) -> int:
        """MIDI number of a scale degree (any integer) counted from the root in `octave` (4 holds middle C)."""
        scale = MODES[self.mode]
        return 12 * (octave + 1 + degree // 7) + self.root + scale[degree % 7]

    def chord(self, bar: int) -> int:
        """Scale degree of the chord in a bar; every fourth section of two bars is the bridge."""
        progression = self.bridge if (bar // 2) % 4 == 3 else self.verse
        return progression[bar % len(progression)]

    def parts(self, bar: int) -> list[str]:
        return self.form[min(bar // 2, len(self.form) - 1)].split()


def demo_song(seed: int, seconds: float, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """A song of exactly `seconds` -> float32 [N], about -18 dBFS, peak below 0.95; the same for the same seed."""
    if seconds <= 0 or sample_rate <= 0:
        raise ValueError("demo_song takes a positive length and sample rate")
    rng = np.random.default_rng([seed, 0x6D757369])
    song = compose(rng, seconds)
    return perform(song, seconds, sample_rate, rng)


def compose(rng: np.random.Generator, seconds: float) -> Song:
    """Draw a song and write its notes for at least `seconds`."""
    mode = str(rng.choice(list(MODES)))
    beats = 3 if rng.random() < 0.15 else 4
    drums = "waltz" if beats == 3 else str(rng.choice(["rock", "dance", "slow groove", "shuffle"]))
    slow = drums == "slow groove"
    verse, bridge = (PROGRESSIONS[mode][i] for i in rng.choice(len(PROGRESSIONS[mode]), 2, replace=False))
    song = Song(
        tempo=float(rng.uniform(70, 92) if slow else rng.uniform(92, 150)),
        beats=beats,
        root=int(rng.integers(12)),
        mode=mode,
        swing=float(rng.choice([0.0, 0.0, 0.12, 0.16])) if drums != "shuffle" else 0.16,
        verse=verse,
        bridge=bridge,
        form=FORMS[rng.integers(len(FORMS))],
        drums=drums,
        kit=str(rng.choice(["acoustic", "electronic", "soft"])),
        comping=str(rng.choice(["arpeggio", "stabs", "block", "strum"])),
        timbres={
            part: bank[str(rng.choice(list(bank)))]
            for part, bank in (("lead", LEADS), ("chords", CHORDS), ("pad", PADS), ("bass", BASSES))
        },
        motif=_rhythm(rng, 2 * beats),
        lead_octave=int(rng.choice([4, 5, 5])),
        room=float(rng.uniform(0.08, 0.3)),
    )
    bars = int(np.ceil(seconds * song.tempo / 60.0 / beats)) + 1
    writers = {"pad": _write_pad, "chords": _write_chords, "bass": _write_bass}
    for bar in range(bars):
        for part, write in writers.items():
            if part in song.parts(bar):
                song.notes.extend(write(song, bar, rng))
    song.notes.extend(_write_lead(song, bars, rng))
    return song


def _rhythm(rng: np.random.Generator, beats: int) -> list[tuple[float, float]]:
    """A motif's (start, length) in beats over two bars, with a rest at its end."""
    cells = [(1.0,), (0.5, 0.5), (1.5, 0.5), (0.75, 0.25), (2.0,), (0.5, 0.5, 1.0), (0.5, 1.0, 0.5)]
    motif, at = [], float(rng.choice([0.0, 0.0, 0.5]))
    while at < beats - 1.0:
        for length in cells[rng.integers(len(cells))]:
            if at < beats - 0.5 and rng.random() > 0.08:
                motif.append((at, min(length, beats - at)))
            at += length
    return motif


def _write_pad(song: Song, bar: int, rng: np.random.Generator) -> Iterator[Note]:
    for pitch in _voicing(song, bar, 4):
        yield Note("pad", bar * song.beats, song.beats * 1.0, pitch, 0.8)


def _write_chords(song: Song, bar: int, rng: np.random.Generator) -> Iterator[Note]:
    start, tones = bar * song.beats, _voicing(song, bar, 3 + (song.comping != "stabs"))
    if song.comping == "arpeggio":
        order = [*tones, *tones[-2:0:-1]]
        for i in range(2 * song.beats):
            yield Note("chords", start + i / 2, 0.55, order[i % len(order)], 0.9 if i % 4 == 0 else 0.65)
    elif song.comping == "stabs":
        for beat, velocity in ((0.0, 0.9), (1.5, 0.7), (2.5, 0.75)):
            yield from (Note("chords", start + beat, 0.35, tone, velocity * 0.8) for tone in tones)
    elif song.comping == "block":
        for beat in range(song.beats):
            velocity = 0.8 if beat == 0 else 0.55
            yield from (Note("chords", start + beat, 0.9, tone, velocity * 0.75) for tone in tones)
    else:
        for beat in (0.0, 1.0, 1.5, 2.5, 3.0)[: song.beats + 1]:
            for i, tone in enumerate(tones):
                yield Note("chords", start + beat + 0.04 * i, 0.8, tone, 0.6 + 0.15 * (beat == 0.0))


def _write_bass(song: Song, bar: int, rng: np.random.Generator) -> Iterator[Note]:
    start, degree = bar * song.beats, song.chord(bar)
    root, fifth = song.pitch(degree, 2), song.pitch(degree + 4, 2)
    while root > 45:
        root, fifth = root - 12, fifth - 12
    if song.drums == "dance":
        for i in range(song.beats):
            yield Note("bass", start + i + 0.5, 0.4, root + 12 * (i % 2), 0.9)
        yield Note("bass", start, 0.4, root, 1.0)
    elif song.drums in ("rock", "shuffle"):
        walk = [root, root, fifth, root, fifth, root, root, song.pitch(song.chord(bar + 1) - 1, 2) - 12]
        for i in range(2 * song.beats):
            if i % 2 == 0 or rng.random() < 0.6:
                yield Note("bass", start + i / 2, 0.45, walk[i % 8] if walk[i % 8] > 27 else root, 0.95 - 0.2 * (i % 2))
    else:
        yield Note("bass", start, 1.4, root, 1.0)
        yield Note("bass", start + song.beats - 1.5, 0.5, fifth, 0.7)
        yield Note("bass", start + song.beats - 1.0, 0.9, root, 0.8)


def _write_lead(song: Song, bars: int, rng: np.random.Generator) -> Iterator[Note]:
    """The motif over every two bars, its contour kept, its notes fitted to the chord of the moment."""
    contour = np.clip(np.cumsum(rng.choice([-2, -1, -1, 0, 1, 1, 2, 3], len(song.motif))), -4, 7)
    for bar in range(0, bars, 2):
        if "lead" not in song.parts(bar):
            continue
        answer = (bar // 2) % 2
        for i, (beat, length) in enumerate(song.motif):
            degree = song.chord(bar + int(beat // song.beats))
            step = int(contour[i]) + (int(rng.integers(-1, 2)) if answer and i >= len(contour) // 2 else 0)
            last = i == len(song.motif) - 1
            if last or beat % 1.0 == 0.0:
                step = degree + min((0, 2, 4, 7, -3, -5), key=lambda tone, near=step, d=degree: abs(d + tone - near))
            velocity = 0.75 + 0.2 * (beat % song.beats == 0) + float(rng.uniform(-0.08, 0.08))
            yield Note(
                "lead", bar * song.beats + beat, length * (1.3 if last else 0.95), _lead_pitch(song, step), velocity
            )


def _lead_pitch(song: Song, step: int) -> int:
    pitch = song.pitch(step, song.lead_octave)
    return pitch - 12 if pitch > 88 else pitch


def _voicing(song: Song, bar: int, voices: int) -> list[int]:
    """Chord tones (triad, then seventh) packed around middle C, so that neighbours share their register."""
    degree = song.chord(bar)
    degrees = [degree, degree + 2, degree + 4, degree + 6 if song.mode in ("dorian", "minor") else degree + 7]
    return sorted({54 + (song.pitch(d, 4) - 54) % 12 for d in degrees[:voices]})


def perform(song: Song, seconds: float, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Play a song -> float32 [N] of exactly `seconds`, with reverberation, dynamics and a soft limiter."""
    count = round(seconds * sample_rate)
    dry, drums = np.zeros(count + sample_rate, np.float32), np.zeros(count + sample_rate, np.float32)
    played: dict[tuple[str, int, int], np.ndarray] = {}
    beat_seconds = 60.0 / song.tempo
    for event in song.notes:
        length = max(1, round(event.length * 8.0))
        key = (event.part, event.pitch, length)
        if key not in played:
            hertz = 440.0 * 2.0 ** ((event.pitch - 69) / 12.0)
            played[key] = note(song.timbres[event.part], hertz, length / 8.0 * beat_seconds, sample_rate, rng)
        at = swung(event.start, song.swing) * beat_seconds + float(rng.uniform(0.0, 0.006))
        _mix(dry, played[key], at, LEVELS[event.part] * event.velocity, sample_rate)
    kit = drum_kit(song.kit, sample_rate, rng)
    for part, beat, velocity in drum_hits(song, seconds, rng):
        at = swung(beat, song.swing) * beat_seconds
        _mix(drums, kit[part], at, DRUM_LEVELS[part] * velocity, sample_rate)
    wet = reverb(dry + 0.35 * drums, float(rng.uniform(0.5, 1.6)), song.room, sample_rate, rng)[:count]
    return _master(wet + 0.65 * drums[:count])


def drum_hits(song: Song, seconds: float, rng: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    """(part, beat, velocity) of every hit; every fourth bar ends in a fill."""
    bars = int(np.ceil(seconds * song.tempo / 60.0 / song.beats))
    for bar in range(bars):
        if "drums" not in song.parts(bar):
            continue
        start, fill = bar * song.beats, bar % 4 == 3
        for part, pattern in DRUMS[song.drums].items():
            if isinstance(pattern, str):
                step, offset = GRIDS[pattern]
                for beat in np.arange(offset, song.beats, step):
                    yield part, start + float(beat), (1.0 if beat % 1.0 == offset else 0.6) * float(rng.uniform(0.8, 1))
            else:
                for beat, velocity in pattern:
                    yield part, start + beat, velocity * float(rng.uniform(0.9, 1.0))
        if fill:
            for i in range(4):
                yield "snare", start + song.beats - 1 + i / 4, 0.4 + 0.15 * i


def swung(beat: float, swing: float) -> float:
    """Delay the second eighth of every beat by `swing` of a beat; other positions are shifted proportionally."""
    whole, part = divmod(beat, 1.0)
    half = 0.5 + swing
    return whole + (part * half / 0.5 if part < 0.5 else half + (part - 0.5) * (1.0 - half) / 0.5)


def _mix(track: np.ndarray, sound: np.ndarray, at: float, level: float, sample_rate: int) -> None:
    start = int(at * sample_rate)
    end = min(len(track), start + len(sound))
    if start < end:
        track[start:end] += np.float32(level) * sound[: end - start]


def _master(wav: np.ndarray) -> np.ndarray:
    """Centre, bring to the target level, round off the peaks with tanh."""
    wav = wav - wav.mean()
    wav = wav * (RMS_TARGET / max(1e-9, float(np.sqrt(np.mean(wav**2)))))
    return (0.95 * np.tanh(wav / 0.95)).astype(np.float32)
