"""Frames of mp3 files: what a file really holds, whatever its header says.

An mp3 is a row of frames, each with its own length; the number of frames stands in an optional tag ("Xing", "Info",
"VBRI") in place of the first one. Without a tag decoders guess the length from the bit rate of the first frame, after
joining files the tag speaks of the first one only, and damaged bytes make decoders give up. So frames are counted here,
and where that disagrees with the tag, decoders are given the frames alone, behind a tag with the right number.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

# Bit rates in kbit/s by index, for layers II and III of MPEG 1, and of MPEG 2 and 2.5 (ISO 11172-3, 13818-3).
_BIT_RATES = {
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}  # by version bits
_TAG_BIT_RATE = 8  # the index of a rate at which a frame has room for a tag
_CONFIRMING = 2  # frames that must follow for damaged data to end


@dataclass(frozen=True)
class Frame:
    """A frame's header. `form` is what must not change in a row: version, layer, sample rate, whether it is mono."""

    form: tuple[int, int, int, bool]
    size: int
    samples: int

    @property
    def rate(self) -> int:
        return self.form[2]

    @property
    def tag_offset(self) -> int:
        """Where a tag begins: behind the side information."""
        version, _, _, mono = self.form
        return 4 + ((17 if mono else 32) if version == 3 else (9 if mono else 17))


@dataclass
class Row:
    """Frames of one form, without what lies between them."""

    form: tuple[int, int, int, bool]
    frames: bytearray
    count: int = 0
    samples: int = 0


@dataclass
class Mp3:
    """What was found. `tagged` is the number of frames that the first tag gives, None without one; `junk` counts bytes
    between frames that are no tag of any kind; `tags` counts frames that hold a tag."""

    rows: list[Row]
    tagged: int | None = None
    tags: int = 0
    junk: int = 0

    @property
    def seconds(self) -> float:
        return sum(row.samples / row.form[2] for row in self.rows)

    @property
    def lost_seconds(self) -> float:
        """About how much music the damaged bytes held, at the mean bit rate."""
        return self.seconds * self.junk / max(1, sum(len(row.frames) for row in self.rows))

    @property
    def is_plain(self) -> bool:
        """Whether the tag is right and nothing is damaged, so that any decoder reads the file whole."""
        return (
            len(self.rows) == 1
            and self.tags == 1
            and not self.junk
            and self.tagged is not None
            and abs(self.tagged - self.rows[0].count) <= 1
        )


def frame_at(data: bytes, at: int) -> Frame | None:
    """The header at `at`; None if there is none, or one of free bit rate."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer = data[at + 1] >> 3 & 3, 4 - (data[at + 1] >> 1 & 3)
    bits, rate, padding = data[at + 2] >> 4, data[at + 2] >> 2 & 3, data[at + 2] >> 1 & 1
    if version == 1 or layer not in (2, 3) or bits in (0, 15) or rate == 3:
        return None
    hertz = _RATES[version][rate]
    first = version == 3
    samples = 576 if layer == 3 and not first else 1152
    size = samples // 8 * 1000 * _BIT_RATES[1 if first else 2, layer][bits] // hertz + padding
    return Frame((version, layer, hertz, data[at + 3] >> 6 == 3), size, samples)


def survey(data: bytes) -> Mp3:
    """Walk over all frames of a file."""
    found = Mp3([])
    end = _without_trailing_tags(data)
    at, frame = 0, None
    while at < end:
        frame = frame_at(data, at)
        if frame is None or not _goes_on(data, at, frame, found, end):
            skipped = _tag_size(data, at) or _to_next_frame(data, at, end, found) - at
            at += skipped
            continue
        if at + frame.size > end:  # the file ends within it
            break
        _take(data, at, frame, found)
        at += frame.size
    return found


def cleaned(found: Mp3) -> Iterator[bytes]:
    """Files that hold the frames alone, one for each form, with a tag that gives their number."""
    for row in found.rows:
        yield _tag_frame(row) + bytes(row.frames)


def _take(data: bytes, at: int, frame: Frame, found: Mp3) -> None:
    tag = _tagged_frames(data, at, frame)
    if tag is not None:
        found.tags += 1
        if found.tagged is None and not found.rows:
            found.tagged = tag
        return
    if not found.rows or found.rows[-1].form != frame.form:
        found.rows.append(Row(frame.form, bytearray()))
    row = found.rows[-1]
    row.frames += data[at : at + frame.size]
    row.count += 1
    row.samples += frame.samples


def _goes_on(data: bytes, at: int, frame: Frame, found: Mp3, end: int) -> bool:
    """Whether this is a frame and not bytes that resemble one: it is like the last one, or others follow it."""
    if found.rows and frame.form == found.rows[-1].form:
        return True
    return _is_confirmed(data, at, frame, end)


def _is_confirmed(data: bytes, at: int, frame: Frame, end: int) -> bool:
    for _ in range(_CONFIRMING):
        at += frame.size
        if at >= end or _tag_size(data, at):
            return at <= end
        following = frame_at(data, at)
        if following is None or following.form != frame.form:
            return False
        frame = following
    return True


def _to_next_frame(data: bytes, at: int, end: int, found: Mp3) -> int:
    """Where frames go on after damaged bytes, which are counted unless they are zeros or outside all frames."""
    start = at
    at += 1
    while (at := data.find(b"\xff", at, end)) >= 0:
        frame = frame_at(data, at)
        if frame is not None and _is_confirmed(data, at, frame, end):
            break
        at += 1
    if at < 0:
        return end  # behind the last frame
    if found.rows and data[start:at].strip(b"\0"):
        found.junk += at - start
    return at


def _tagged_frames(data: bytes, at: int, frame: Frame) -> int | None:
    """The number of frames that a tag in this frame gives (0 where it gives none); None if it holds no tag."""
    place = at + frame.tag_offset
    if data[place : place + 4] in (b"Xing", b"Info"):
        has_frames = data[place + 7] & 1
        return struct.unpack_from(">I", data, place + 8)[0] if has_frames and place + 12 <= len(data) else 0
    if data[at + 36 : at + 40] == b"VBRI" and at + 54 <= len(data):
        return struct.unpack_from(">I", data, at + 50)[0]
    return None


def _tag_size(data: bytes, at: int) -> int:
    """Bytes of an ID3v2, ID3v1 or APE tag at `at`; 0 if there is none."""
    head = data[at : at + 32]
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 128:
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        return 10 + size + (10 if head[5] & 0x10 else 0)
    if head[:8] == b"APETAGEX" and len(head) == 32:
        size, flags = struct.unpack_from("<I", head, 12)[0], struct.unpack_from("<I", head, 20)[0]
        return 32 + size if flags & 1 << 29 else 32  # `size` counts the footer, not the header
    return 128 if head[:3] == b"TAG" else 0


def _without_trailing_tags(data: bytes) -> int:
    """Where an ID3v1 tag and an APE tag at the end begin."""
    end = len(data)
    if end >= 128 and data[end - 128 : end - 125] == b"TAG":
        end -= 128
    if end >= 32 and data[end - 32 : end - 24] == b"APETAGEX":
        size, flags = struct.unpack_from("<I", data, end - 20)[0], struct.unpack_from("<I", data, end - 12)[0]
        end = max(0, end - size - (32 if flags & 1 << 31 else 0))
    return end


def _tag_frame(row: Row) -> bytes:
    """A silent frame with a tag that says how many frames follow."""
    version, layer, hertz, mono = row.form
    head = bytearray(row.frames[:4])
    head[1] |= 1  # no checksum
    head[2] = _TAG_BIT_RATE << 4 | head[2] & 0x0C
    frame = frame_at(bytes(head), 0)
    body = bytearray(frame.size)
    body[:4] = head
    struct.pack_into(">4sII", body, frame.tag_offset, b"Xing", 1, row.count)
    return bytes(body)
