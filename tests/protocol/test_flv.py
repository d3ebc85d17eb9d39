"""FLV files: what we write, what we read back, and files that are cut or wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.errors import ConnectionLost, MediaError, MisuseError
from rtmpd.protocol import flv
from rtmpd.protocol.constants import AUDIO, COMMAND_AMF0, DATA_AMF0, DATA_AMF3, VIDEO
from rtmpd.protocol.message import Message
from rtmpd.protocol.source import Buffer, MemorySource

HEADER = b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"
MESSAGES = [
    Message(DATA_AMF0, b"\x02\x00\x0aonMetaData"),
    Message(VIDEO, b"\x17\x01\x00\x00\x00abc", 0xFFFFFF),
    Message(AUDIO, b"", 0x1000000),
    Message(AUDIO, b"\xaf\x01" + bytes(300), 0xFFFFFFFF),
]
FILE = HEADER + b"".join(map(flv.tag, MESSAGES))


class FailingSource:
    """Brings some bytes, then fails as a socket does."""

    def __init__(self, data: bytes) -> None:
        self._pieces = [data]

    def recv(self) -> bytes:
        if self._pieces:
            return self._pieces.pop()
        raise ConnectionLost("reset", "ECONNRESET")


def reader_of(*pieces: bytes) -> flv.FlvReader:
    return flv.FlvReader(Buffer(MemorySource(pieces)))


def tags_of(reader: flv.FlvReader) -> list[Message]:
    reader.read_header()
    return list(iter(reader.read_tag, None))


# --- writing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("audio", "video", "flags"), [(True, True, 5), (True, False, 4), (False, True, 1), (False, False, 0)]
)
def test_the_file_header(audio: bool, video: bool, flags: int) -> None:
    header = flv.file_header(audio, video)
    assert header == b"FLV\x01" + bytes([flags]) + b"\x00\x00\x00\x09" + b"\x00\x00\x00\x00"
    assert reader_of(header).read_header() == (audio, video)


def test_a_tag_byte_for_byte() -> None:
    assert flv.tag(Message(VIDEO, b"abc", 0x12345678, msid=1)) == (
        b"\x09" b"\x00\x00\x03" b"\x34\x56\x78" b"\x12" b"\x00\x00\x00" b"abc" b"\x00\x00\x00\x0e"
    )


def test_a_timestamp_beyond_32_bits_wraps() -> None:
    assert flv.tag(Message(AUDIO, b"a", (1 << 32) + 5)) == flv.tag(Message(AUDIO, b"a", 5))


@pytest.mark.parametrize("type_id", [COMMAND_AMF0, DATA_AMF3, 1])
def test_other_messages_have_no_place_in_a_file(type_id: int) -> None:
    with pytest.raises(MisuseError):
        flv.tag(Message(type_id, b"a"))


def test_the_size_of_a_tag_has_24_bits() -> None:
    largest = Message(VIDEO, bytes(0xFFFFFF))
    assert tags_of(reader_of(HEADER, flv.tag(largest))) == [largest]
    with pytest.raises(MisuseError):
        flv.tag(Message(VIDEO, bytes(0x1000000)))


# --- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 2, 7, 64, len(FILE)])
def test_a_file_is_read_whole_and_in_pieces(step: int) -> None:
    pieces = [FILE[start : start + step] for start in range(0, len(FILE), step)]
    assert tags_of(reader_of(*pieces)) == MESSAGES


def test_the_end_is_reported_again() -> None:
    reader = reader_of(HEADER)
    reader.read_header()
    assert reader.read_tag() is None
    assert reader.read_tag() is None


def test_a_longer_file_header_is_skipped() -> None:
    longer = b"FLV\x01\x04\x00\x00\x00\x0cxyz" + bytes(4)
    reader = reader_of(longer + flv.tag(MESSAGES[0]))
    assert reader.read_header() == (True, False)
    assert reader.read_tag() == MESSAGES[0]


@pytest.mark.parametrize("wrong", [b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x00\x00\x00\x01"])
def test_wrong_sizes_between_the_tags_do_not_matter(wrong: bytes) -> None:
    file = HEADER + b"".join(flv.tag(message)[:-4] + wrong for message in MESSAGES)
    assert tags_of(reader_of(file)) == MESSAGES


def test_a_missing_last_size_is_a_clean_end() -> None:
    for missing in range(1, 5):
        assert tags_of(reader_of(FILE[:-missing])) == MESSAGES


def test_tags_of_other_types_are_skipped() -> None:
    strange = b"\x0f" + flv.tag(MESSAGES[1])[1:]
    assert tags_of(reader_of(HEADER + strange + flv.tag(MESSAGES[2]))) == [MESSAGES[2]]


def test_a_cut_inside_a_tag_is_an_error_and_the_tags_before_it_are_read() -> None:
    last = flv.tag(MESSAGES[1])
    for cut in range(1, len(last) - 4):
        reader = reader_of(HEADER + flv.tag(MESSAGES[0]) + last[:cut])
        reader.read_header()
        assert reader.read_tag() == MESSAGES[0]
        with pytest.raises(MediaError) as caught:
            reader.read_tag()
        assert caught.value.code == "truncated"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "truncated"),
        (b"FLV\x01\x05\x00", "truncated"),
        (b"FLV\x01\x05\x00\x00\x00\x0c", "truncated"),
        (b"RIFF\x00\x00\x00\x09\x00\x00\x00\x00", "not_flv"),
        (b"FLV\x01\x05\x00\x00\x00\x08\x00\x00\x00\x00", "not_flv"),
        (b"FLV\x01\x05\xff\xff\xff\xff\x00\x00\x00\x00", "not_flv"),
    ],
)
def test_what_is_not_an_flv_header(data: bytes, code: str) -> None:
    with pytest.raises(MediaError) as caught:
        reader_of(data).read_header()
    assert caught.value.code == code


def test_an_encrypted_tag_is_refused() -> None:
    encrypted = b"\x29" + flv.tag(MESSAGES[1])[1:]
    with pytest.raises(MediaError) as caught:
        tags_of(reader_of(HEADER + encrypted))
    assert caught.value.code == "encrypted"


@pytest.mark.parametrize("length", [5, len(HEADER), len(HEADER) + 15, len(FILE)])
def test_a_source_that_fails_is_neither_an_end_nor_a_truncation(length: int) -> None:
    with pytest.raises(ConnectionLost) as caught:
        tags_of(flv.FlvReader(Buffer(FailingSource(FILE[:length]))))
    assert caught.value.code == "ECONNRESET"


@given(
    messages=st.lists(
        st.builds(
            Message,
            st.sampled_from([AUDIO, VIDEO, DATA_AMF0]),
            st.binary(max_size=40),
            st.integers(0, 0xFFFFFFFF),
        ),
        max_size=6,
    ),
    step=st.integers(1, 50),
)
def test_what_is_written_is_read_back(messages: list[Message], step: int) -> None:
    file = flv.file_header(True, True) + b"".join(map(flv.tag, messages))
    assert tags_of(reader_of(*(file[at : at + step] for at in range(0, len(file), step)))) == messages


@given(data=st.binary(max_size=80))
def test_any_bytes_behind_a_header_are_tags_an_end_or_a_media_error(data: bytes) -> None:
    try:
        messages = tags_of(reader_of(HEADER + data))
    except MediaError:
        return
    assert sum(15 + len(message.payload) for message in messages) <= len(HEADER) + len(data)
