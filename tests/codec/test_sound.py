"""Headers of sounds: held against FFmpeg's demuxer and decoders on real encodes, and by hand."""

from __future__ import annotations

import io
from collections.abc import Callable

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.codec import aac, ac3, flac, flash, mp3, opus
from rtmpd.codec.facts import Facts
from rtmpd.codec.tag import AUDIO_MESSAGE
from rtmpd.codec.track import MediaTrack
from rtmpd.errors import MediaError
from rtmpd.protocol import flv
from rtmpd.protocol.message import Message
from tests.codec.written import Bits
from tests.support.encodes import Audio, payloads, probed

# --- AAC ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000])
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_aac_says_what_ffmpeg_decodes(rate_hz: int, layout: str) -> None:
    audio = Audio("aac", rate_hz, layout)
    context = probed(audio).codec_context
    facts = aac.read_config(payloads(audio)[0][2:])
    assert (facts.sample_rate_hz, facts.channels) == (rate_hz, context.layout.nb_channels) == (
        context.sample_rate,
        1 if layout == "mono" else 2,
    )
    assert facts.profile == context.profile.lower()


@pytest.mark.parametrize("layout", ["3.0", "4.0", "5.0", "5.1", "quad", "6.1", "7.1", "hexagonal", "octagonal"])
def test_aac_channels_also_where_a_program_config_element_names_them(layout: str) -> None:
    audio = Audio("aac", 48000, layout, 256_000)
    assert aac.read_config(payloads(audio)[0][2:]).channels == av.AudioLayout(layout).nb_channels


def asc(object_type: int, rate_index: int, channels: int) -> Bits:
    return Bits().u(5, object_type).u(4, rate_index).u(4, channels)


PLAIN = Bits().u(3, 0)
SPELLINGS = {
    "sbr first": (asc(5, 7, 2).u(4, 4).u(5, 2).add(PLAIN), "he-aac", 44100, 2),
    "sbr and ps first": (asc(29, 7, 1).u(4, 4).u(5, 2).add(PLAIN), "he-aacv2", 44100, 2),
    "sbr behind": (asc(2, 7, 2).add(PLAIN).u(11, 0x2B7).u(5, 5).u(1, 1).u(4, 4), "he-aac", 44100, 2),
    "sbr and ps behind": (
        asc(2, 7, 1).add(PLAIN).u(11, 0x2B7).u(5, 5).u(1, 1).u(4, 4).u(11, 0x548).u(1, 1), "he-aacv2", 44100, 2,
    ),
    "sbr behind, written rate": (
        asc(2, 7, 2).add(PLAIN).u(11, 0x2B7).u(5, 5).u(1, 1).u(4, 15).u(24, 44100), "he-aac", 44100, 2,
    ),
    "lc": (asc(2, 7, 1).add(PLAIN), "lc", 22050, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS)
def test_explicit_sbr_and_ps_give_what_ffmpeg_puts_out(name: str) -> None:
    """Real AAC-LC frames under a configuration by hand: a decoder doubles what it is told to double."""
    bits, profile, rate_hz, channels = SPELLINGS[name]
    facts = aac.read_config(bits.bytes())
    assert (facts.profile, facts.sample_rate_hz, facts.channels) == (profile, rate_hz, channels)
    layout = "mono" if "ps" in name or name == "lc" else "stereo"
    frames = [payload for payload in payloads(Audio("aac", 22050, layout)) if payload[1] == 1]
    sent = [b"\xaf\x00" + bits.bytes(), *frames]
    file = flv.file_header(True, False) + b"".join(
        flv.tag(Message(AUDIO_MESSAGE, payload, index * 46)) for index, payload in enumerate(sent)
    )
    with av.open(io.BytesIO(file), format="flv") as container:
        decoded = next(container.decode(audio=0))
    if name != "lc":  # without a word about SBR a decoder of 22 kHz expects it to appear
        assert (decoded.sample_rate, decoded.layout.nb_channels) == (rate_hz, channels)


@pytest.mark.parametrize(
    ("bits", "facts"),
    [
        (Bits().u(5, 2).u(4, 15).u(24, 37800).u(4, 2).add(PLAIN), Facts("lc", sample_rate_hz=37800, channels=2)),
        (Bits().u(5, 31).u(6, 7).u(4, 3).u(4, 2), Facts("eld", sample_rate_hz=48000, channels=2)),
        (Bits().u(5, 31).u(6, 10).u(4, 3).u(4, 2), Facts("xhe-aac", sample_rate_hz=48000, channels=2)),
        (asc(23, 3, 2).add(PLAIN).u(2, 0), Facts("ld", sample_rate_hz=48000, channels=2)),
        (asc(2, 3, 7).add(PLAIN), Facts("lc", sample_rate_hz=48000, channels=8)),
        (asc(2, 3, 11).add(PLAIN), Facts("lc", sample_rate_hz=48000, channels=7)),
        (asc(2, 3, 2).u(1, 0).u(1, 1).u(14, 5).u(1, 0), Facts("lc", sample_rate_hz=48000, channels=2)),
        (asc(17, 3, 2).u(2, 0).u(1, 1).u(3, 0).u(1, 0).u(2, 0), Facts("er lc", sample_rate_hz=48000, channels=2)),
        (asc(22, 3, 2).u(2, 0).u(1, 1).u(16, 0).u(1, 0).u(2, 0), Facts("er bsac", sample_rate_hz=48000, channels=2)),
        (asc(6, 3, 2).add(PLAIN).u(3, 1), Facts("scalable", sample_rate_hz=48000, channels=2)),
    ],
)
def test_less_usual_configurations(bits: Bits, facts: Facts) -> None:
    assert aac.read_config(bits.bytes()) == facts


def test_a_program_of_every_kind_of_element() -> None:
    bits = asc(2, 3, 0).add(PLAIN).u(10, 0).u(4, 2).u(4, 1).u(4, 1).u(2, 1).u(3, 2).u(4, 1)
    bits.u(1, 1).u(4, 0).u(1, 1).u(4, 0).u(1, 1).u(3, 0)
    for is_pair in (0, 1, 1, 1):
        bits.u(1, is_pair).u(4, 0)
    bits.u(4, 0).u(8, 0).u(5, 0)
    bits.u(-len(bits.text) % 8, 0).u(8, 2).u(16, 0x4142)
    bits.u(11, 0x2B7).u(5, 5).u(1, 1).u(4, 3)
    assert aac.read_config(bits.bytes()) == Facts("he-aac", sample_rate_hz=48000, channels=8)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "truncated"),
        (b"\x12", "truncated"),
        (asc(2, 13, 2).add(PLAIN).bytes(), "bad_value"),
        (Bits().u(5, 2).u(4, 15).u(24, 0).u(4, 2).bytes(), "bad_value"),
        (asc(2, 4, 9).add(PLAIN).bytes(), "bad_value"),
        (asc(2, 4, 0).add(PLAIN).bytes(), "truncated"),
        (asc(2, 4, 0).add(PLAIN).u(64, 0).u(64, 0).bytes(), "bad_value"),
    ],
)
def test_an_aac_configuration_that_can_not_be_read_says_why(data: bytes, code: str) -> None:
    with pytest.raises(MediaError) as caught:
        aac.read_config(data)
    assert caught.value.code == code


# --- the others -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [11025, 22050, 44100])
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_mp3_frames_say_what_ffmpeg_decodes(rate_hz: int, layout: str) -> None:
    audio = Audio("libmp3lame", rate_hz, layout, 64000)
    context = probed(audio).codec_context
    facts = mp3.read_frame(payloads(audio)[0][1:])
    assert (facts.sample_rate_hz, facts.channels) == (context.sample_rate, context.layout.nb_channels)
    assert (facts.profile, facts.bitrate_bps) == ("layer 3", context.bit_rate)


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_opus_headers_and_packets_say_what_ffmpeg_decodes(layout: str) -> None:
    audio = Audio("libopus", 48000, layout, 96000)
    sent = payloads(audio)
    context = probed(audio).codec_context
    facts = opus.read_config(sent[0][5:])
    assert (facts.sample_rate_hz, facts.channels) == (context.sample_rate, context.layout.nb_channels)
    if layout != "5.1":  # a packet of several streams says only how the first is coded
        packet = next(payload for payload in sent if payload[0] == 0x91)
        assert opus.read_packet(packet[5:]) == facts


@pytest.mark.parametrize(("rate_hz", "layout"), [(8000, "mono"), (44100, "stereo"), (96000, "5.1")])
def test_flac_says_what_ffmpeg_decodes(rate_hz: int, layout: str) -> None:
    audio = Audio("flac", rate_hz, layout)
    context = probed(audio).codec_context
    facts = flac.read_config(payloads(audio)[0][5:])
    assert (facts.sample_rate_hz, facts.channels) == (context.sample_rate, context.layout.nb_channels)


@pytest.mark.parametrize("encoder", ["ac3", "eac3"])
@pytest.mark.parametrize("rate_hz", [32000, 44100, 48000])
@pytest.mark.parametrize("layout", ["mono", "stereo", "2.1", "3.0", "quad", "5.0", "5.1"])
def test_ac3_frames_say_what_ffmpeg_decodes(encoder: str, rate_hz: int, layout: str) -> None:
    audio = Audio(encoder, rate_hz, layout, 256_000)
    context = probed(audio).codec_context
    packet = next(payload for payload in payloads(audio) if payload[0] == 0x91)
    facts = ac3.read_frame(packet[5:])
    assert (facts.sample_rate_hz, facts.channels) == (context.sample_rate, context.layout.nb_channels)
    assert facts.bitrate_bps == pytest.approx(256_000, rel=0.02)


def test_low_rates_of_ac3_and_eac3() -> None:
    half = Bits().u(16, 0x0B77).u(16, 0).u(2, 0).u(6, 20).u(5, 9).u(3, 0).u(3, 2).u(2, 0).u(1, 0).u(24, 0).bytes()
    assert ac3.read_frame(half) == Facts(sample_rate_hz=24000, channels=2, bitrate_bps=96000)
    low = Bits().u(16, 0x0B77).u(5, 0).u(11, 191).u(2, 3).u(2, 1).u(3, 7).u(1, 1).u(5, 16).u(24, 0).bytes()
    assert ac3.read_frame(low) == Facts(sample_rate_hz=22050, channels=6, bitrate_bps=44100)


@pytest.mark.parametrize(
    ("frame", "profile", "rate_hz", "channels", "bitrate_bps"),
    [
        ("fffda4c0", "layer 2", 48000, 1, 192000),
        ("ffff1000", "layer 1", 44100, 2, 32000),
        ("ffe30000", "layer 3", 11025, 2, None),
        ("fff584c0", "layer 2", 24000, 1, 64000),
    ],
)
def test_layers_and_versions_have_bit_rates_of_their_own(
    frame: str, profile: str, rate_hz: int, channels: int, bitrate_bps: int | None
) -> None:
    facts = mp3.read_frame(bytes.fromhex(frame))
    assert facts == Facts(profile, sample_rate_hz=rate_hz, channels=channels, bitrate_bps=bitrate_bps)


# SoundFormat and flags -> rate and channels by FFmpeg, which writes the same flags
LEGACY = [
    (Audio("pcm_alaw", 8000, "mono"), 64000),
    (Audio("pcm_mulaw", 8000, "stereo"), 128000),
    (Audio("nellymoser", 8000, "mono"), None),
    (Audio("nellymoser", 16000, "mono"), None),
    (Audio("nellymoser", 44100, "mono"), None),
    (Audio("adpcm_swf", 22050, "stereo"), None),
    (Audio("pcm_u8", 11025, "mono"), 88200),
    (Audio("pcm_s16le", 44100, "stereo"), 1411200),
]


@pytest.mark.parametrize(("audio", "bitrate_bps"), LEGACY, ids=lambda value: str(value))
def test_the_first_byte_of_a_legacy_message_says_what_ffmpeg_demuxes(audio: Audio, bitrate_bps: int | None) -> None:
    first = payloads(audio)[0][0]
    rates = (5512, 11025, 22050, 44100)
    facts = flash.sound_facts(first >> 4, rates[first >> 2 & 3], 16 if first & 2 else 8, 2 if first & 1 else 1)
    context = probed(audio).codec_context
    assert (facts.sample_rate_hz, facts.channels) == (context.sample_rate, context.layout.nb_channels)
    assert facts.bitrate_bps == bitrate_bps


def test_speex_is_16_khz_and_mono_whatever_the_flags_say() -> None:
    assert flash.sound_facts(11, 44100, 16, 2) == Facts(sample_rate_hz=16000, channels=1)


READERS: list[tuple[Callable[[bytes], Facts], bytes, bytes, set[str]]] = [
    (aac.read_config, b"\x13\x90\x56\xe5\xa0", b"\x12", {"truncated", "bad_value"}),
    (mp3.read_frame, b"\xff\xfb\x90\x64", b"\xff", {"truncated", "bad_value"}),
    (opus.read_config, b"OpusHead\x01\x02" + bytes(9), b"OpusHead", {"truncated", "bad_value", "version"}),
    (opus.read_packet, b"\xfc", b"", {"truncated"}),
    (flac.read_config, b"fLaC\x00\x00\x00\x22" + bytes(10) + b"\x0a\xc4\x42\xf0" + bytes(20), b"fLaC\x00",
     {"truncated", "bad_value"}),
    (ac3.read_frame, b"\x0b\x77\x00\x00\x14\x40\x43\x00", b"\x0b\x77", {"truncated", "bad_value"}),
]  # fmt: skip


@pytest.mark.parametrize(("read", "good", "head", "codes"), READERS, ids=lambda v: getattr(v, "__module__", None))
@given(noise=st.binary(max_size=80), at=st.integers(0, 40))
def test_no_bytes_raise_anything_else(
    read: Callable[[bytes], Facts], good: bytes, head: bytes, codes: set[str], noise: bytes, at: int
) -> None:
    read(good)
    for data in (noise, head + noise, good[:at] + noise + good[at:], good[:at]):
        try:
            facts = read(data)
        except MediaError as error:
            assert error.code in codes
        else:
            assert facts.channels is None or facts.channels > 0
            assert facts.sample_rate_hz is None or facts.sample_rate_hz > 0


def test_opus_under_the_legacy_format_13_is_named_at_once_and_nothing_is_made_up() -> None:
    track = MediaTrack(8)
    detection = track.look(b"\xdf" + bytes(range(100)))
    assert detection is not None
    assert detection.fields() == {
        "media_type": "audio", "codec_name": "OPUS", "sample_rate": 48000, "packet_type": "raw", "change": False,
    }  # fmt: skip
    assert track.look(b"\xdf\x04" + bytes(99)) is None
    assert b"\xdf\x01".startswith(track.ordinary)
