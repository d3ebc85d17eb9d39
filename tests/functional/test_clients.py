"""What real clients run into: TLS, names with several levels and a query, a key that is taken."""

from __future__ import annotations

import datetime
import ipaddress
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.functional import pairing, peers
from tests.functional.clips import Maker
from tests.functional.harness import Daemon
from tests.support import flv
from tests.support.child import Child, free_port
from tests.support.proof import proves
from tests.support.waiting import wait_until

KEY = "live/camera"

# --- RTMPS --------------------------------------------------------------------------------------


def certificate(home: Path) -> tuple[Path, Path]:
    """A self-signed certificate of 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    day = datetime.timedelta(days=1)
    builder = builder.not_valid_before(now - day).not_valid_after(now + day)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    cert_file, key_file = home / "cert.pem", home / "key.pem"
    cert_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key_file.write_bytes(key.private_bytes(*form))
    return cert_file, key_file


class TlsDaemon(Daemon):
    """A daemon whose ``url`` leads to its RTMPS listener."""

    def __init__(self, home: Path) -> None:
        cert, key = certificate(home)
        self.tls_port = free_port()
        tls = ["-tls-listen", f"127.0.0.1:{self.tls_port}", "-tls-cert", str(cert), "-tls-key", str(key)]
        super().__init__(home, tls)

    def url(self, key: str) -> str:
        return f"rtmps://127.0.0.1:{self.tls_port}/{key}"


TLS_PAIRS = [(one, other) for one in peers.PUBLISHERS for other in peers.PLAYERS]
TLS_IDS = [f"{one.name}-to-{other.name}" for one, other in TLS_PAIRS]


@pytest.fixture(scope="module")
def over_tls(clip: Maker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], pairing.Outcome]]:
    home = tmp_path_factory.mktemp("tls")
    there = [(one, other) for one, other in TLS_PAIRS if not one.missing() and not other.missing()]
    with TlsDaemon(home) as daemon:
        outcomes = pairing.run(daemon, home, "tls", clip("h264_aac"), there)
        assert all(event["data"]["tls"] for event in daemon.of("connection_accept"))
        assert {event["data"]["protocol"] for event in daemon.of("connection_accept")} == {"rtmps"}
        assert all(event["data"]["tls_version"].startswith("TLSv1.") for event in daemon.of("handshake_complete"))
        yield outcomes


@pytest.mark.parametrize(("publisher", "player"), TLS_PAIRS, ids=TLS_IDS)
def test_every_frame_arrives_unchanged_over_tls(
    over_tls: dict[tuple[str, str], pairing.Outcome], clip: Maker, publisher: peers.Peer, player: peers.Peer
) -> None:
    peers.need(publisher, player)
    outcome = over_tls[publisher.name, player.name]
    outcome.assert_both_ended_well(player)
    pairing.assert_same(publisher.sends(clip("h264_aac")), outcome, player)


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "key", "app", "name"),
    [
        ("live/camera?token=secret", "live/camera", "live", "camera"),
        ("studio/two/camera", "studio/two/camera", "studio", "two/camera"),
        ("live/kamera-ü", "live/kamera-ü", "live", "kamera-ü"),
    ],
)
def test_a_stream_is_known_by_application_and_name_without_the_query(
    clip: Maker, tmp_path: Path, path: str, key: str, app: str, name: str
) -> None:
    with Daemon(tmp_path) as daemon:
        peers.ffmpeg().publish_at_once(clip("h264_aac", 0.4), daemon.url(path), tmp_path / "publisher.log")
        start = daemon.wait_event("publish_start")
    assert (start["stream_key"], start["data"]["app"], start["data"]["publishing_name"]) == (key, app, name)
    assert b"secret" not in daemon.stdout.read_bytes()
    assert "secret" not in daemon.log()


# --- what small clients and quick viewers do ------------------------------------------------------


@pytest.fixture(scope="module")
def from_node(clip: Maker, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[Any, pairing.Outcome], Daemon]:
    """What node-media-server's client publishes, with every player that is there."""
    peers.need(peers.NODE)
    home = tmp_path_factory.mktemp("node")
    there = [(peers.NODE, player) for player in peers.PLAYERS if not player.missing()]
    with Daemon(home) as daemon:
        return pairing.run(daemon, home, "node", clip("h264_aac"), there), daemon


@pytest.mark.parametrize("player", peers.PLAYERS, ids=lambda peer: peer.name)
def test_a_client_that_writes_message_stream_0_reaches_every_player(
    from_node: tuple[dict[Any, pairing.Outcome], Daemon], clip: Maker, player: peers.Peer
) -> None:
    peers.need(player)
    outcome = from_node[0][peers.NODE.name, player.name]
    outcome.assert_both_ended_well(player)
    sent, missed = flv.read(clip("h264_aac")), player.may_miss_at_the_end
    assert [f.digest for f in outcome.captured.video][: len(sent.video) - missed] == [
        f.digest for f in sent.video[: len(sent.video) - missed]
    ]
    assert len(outcome.captured.video) >= len(sent.video) - missed


def test_a_client_that_writes_message_stream_0_is_reported_once(
    from_node: tuple[dict[Any, pairing.Outcome], Daemon],
) -> None:
    _, daemon = from_node
    assert [event["data"]["error_code"] for event in daemon.of("protocol_error")] == ["unknown_message_stream"]
    assert not daemon.of("connection_error")
    assert [event["data"]["reason"] for event in daemon.of("publish_stop")] == ["client_closed"]


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
@pytest.mark.parametrize("player", peers.PLAYERS, ids=lambda peer: peer.name)
def test_a_viewer_that_quits_is_not_an_error(
    clip: Maker, tmp_path: Path, player: peers.Peer, by: signal.Signals
) -> None:
    peers.need(player, peers.ffmpeg())
    long = clip("h264_aac", 20.0)
    with Daemon(tmp_path) as daemon, peers.ffmpeg().publish(long, daemon.url(KEY), tmp_path / "p.log"):
        daemon.wait_event("stream_metadata", stream_key=KEY)
        with player.play(daemon.url(KEY), tmp_path / "played.flv") as child:
            daemon.wait_event("play_start", stream_key=KEY)
            captured = tmp_path / "played.flv"
            wait_until(lambda: captured.exists() and captured.stat().st_size > 20_000, "the viewer watches", 20.0)
            child.signal(by)
            stopped = daemon.wait_event("play_stop", stream_key=KEY)
        closed = daemon.wait_event("connection_close", conn_id=stopped["conn_id"])
        assert closed["data"]["reason"] == "client_closed"
        assert stopped["data"]["reason"] in ("client_closed", "stopped")
        assert not daemon.of("connection_error")


@pytest.mark.parametrize("ffmpeg", [peers.FFMPEG_DEBIAN, peers.FFMPEG_CURRENT], ids=lambda peer: peer.name)
def test_ffmpeg_can_copy_every_stream_that_it_sees_into_an_mp4_file(
    clip: Maker, tmp_path: Path, ffmpeg: peers.Ffmpeg
) -> None:
    peers.need(ffmpeg)
    with Daemon(tmp_path) as daemon:
        publisher = ffmpeg.publish(clip("h264_aac"), daemon.url(KEY), tmp_path / "p.log")
        daemon.wait_event("stream_metadata", stream_key=KEY)
        command = [ffmpeg.program, *peers.FFMPEG_QUIET, "-i", daemon.url(KEY), "-map", "0", "-c", "copy"]
        with publisher, Child([*command, str(tmp_path / "copy.mp4")], tmp_path / "copy.log") as copy:
            assert copy.wait() == 0, copy.describe()
    assert (tmp_path / "copy.mp4").stat().st_size > 10_000


# --- a key that is taken ------------------------------------------------------------------------


def test_a_second_publisher_is_refused_and_the_first_goes_on(clip: Maker, tmp_path: Path) -> None:
    ffmpeg = peers.ffmpeg()
    with Daemon(tmp_path) as daemon, ffmpeg.play(daemon.url(KEY), tmp_path / "player.flv") as player:
        daemon.wait_count("play_start", KEY, 1)
        with ffmpeg.publish(clip("h264_aac"), daemon.url(KEY), tmp_path / "first.log") as first:
            daemon.wait_count("publish_start", KEY, 1)
            with ffmpeg.publish(clip("audio_only"), daemon.url(KEY), tmp_path / "second.log") as second:
                assert second.wait() != 0
            assert daemon.wait_event("stream_error", stream_key=KEY)["data"]["error_type"] == "publish_conflict"
            assert first.wait() == 0
        assert player.wait() == 0
    assert len(daemon.of("publish_start")) == len(daemon.of("publish_stop")) == 1
    assert flv.read(tmp_path / "player.flv").video == flv.read(clip("h264_aac")).video


@proves("apps.publish_conflict")
def test_a_second_publisher_takes_over_where_the_policy_says_so_and_the_player_goes_on(
    clip: Maker, tmp_path: Path
) -> None:
    ffmpeg, capture = peers.ffmpeg(), tmp_path / "player.flv"
    ini = "[apps]\npublish_conflict = replace\n"
    with Daemon(tmp_path, ini=ini) as daemon, ffmpeg.play(daemon.url(KEY), capture) as player:
        daemon.wait_count("play_start", KEY, 1)
        with ffmpeg.publish(clip("h264_aac", 20.0), daemon.url(KEY), tmp_path / "first.log") as first:
            wait_until(lambda: flv.read(capture).video, "the player sees the first publisher")
            with ffmpeg.publish(clip("h264_aac"), daemon.url(KEY), tmp_path / "second.log") as second:
                assert second.wait() == 0
            assert first.wait() != 0
        assert player.wait() == 0
    replaced, started = daemon.of("publish_replaced", KEY), daemon.of("publish_start", KEY)
    assert [event["conn_id"] for event in replaced] == [started[0]["conn_id"]]
    assert replaced[0]["data"]["by_conn_id"] == started[1]["conn_id"]
    assert len(daemon.of("play_start")) == 1
    last = [frame.digest for frame in flv.read(clip("h264_aac")).video]
    assert [frame.digest for frame in flv.read(capture).video][-len(last) :] == last
