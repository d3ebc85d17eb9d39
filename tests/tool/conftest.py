"""A running house for the tools, and small FLV files."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import rtmpd
from rtmpd.assembly import House
from rtmpd.protocol.amf0 import encode
from rtmpd.protocol.flv import FlvReader, file_header, tag
from rtmpd.protocol.message import Message
from rtmpd.protocol.source import Buffer, MemorySource
from rtmpd.settings import Address, AppSettings, AppsSettings, ServerSettings, Settings

SAMPLE = Path(rtmpd.__file__).parent / "data" / "sample.flv"
AUDIO, VIDEO, DATA = 8, 9, 18
PATIENCE_S = 20.0

# Nothing is dropped however fast a file is sent, and a publisher that vanishes leaves its players
# waiting: whoever ends at once was told.
APP = AppSettings(publisher_grace_s=600.0, backlog_bytes=1 << 28, backlog_ms=1 << 30)


def ended(greenlet: gevent.Greenlet[..., int]) -> int:
    """The exit status of a tool that runs in a greenlet."""
    return greenlet.get(timeout=PATIENCE_S)


def tags_of(data: bytes) -> list[Message]:
    reader = FlvReader(Buffer(MemorySource([data])))
    reader.read_header()
    tags = []
    while (message := reader.read_tag()) is not None:
        tags.append(message)
    return tags


def clip(path: Path, first_ms: int = 0, frames: int = 4, audio: bool = True, frame_bytes: int = 100) -> Path:
    """Metadata, headers, then a frame of each kind every 40 ms, no two alike."""
    messages = [Message(DATA, encode("onMetaData", {"width": 640.0}), first_ms)]
    messages.append(Message(VIDEO, b"\x17\0\0\0\0header", first_ms))
    if audio:
        messages.append(Message(AUDIO, b"\xaf\0header", first_ms))
    for index in range(frames):
        at = (first_ms + 40 * index) % 2**32
        body = index.to_bytes(4, "big") * (frame_bytes // 4)
        messages.append(Message(VIDEO, (b"\x27" if index else b"\x17") + b"\x01\0\0\0" + body, at))
        if audio:
            messages.append(Message(AUDIO, b"\xaf\x01" + body[:8], at))
    path.write_bytes(file_header(True, True) + b"".join(tag(message) for message in messages))
    return path


class RunningHouse:
    """``url`` of a stream on it, ``players`` and ``publishing`` of that stream."""

    def __init__(self, settings: Settings) -> None:
        self.house = House(settings)
        [self.address] = self.house.start()
        scheme = "rtmps" if self.address.tls else "rtmp"
        self.url = f"{scheme}://localhost:{self.address.port}/live/demo?token=1"

    @property
    def publishing(self) -> bool:
        stream = self.house.registry.find("live/demo")
        return stream is not None and stream.publisher is not None

    @property
    def playing(self) -> bool:
        return self.house.registry.find("live/demo") is not None


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The files of a self-signed certificate for localhost, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    encryption = serialization.NoEncryption()
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    )
    return str(cert_file), str(key_file)


@pytest.fixture
def settings() -> Settings:
    return Settings(
        server=ServerSettings(listen=(Address("localhost", 0),)),
        apps=AppsSettings(default=APP),
    )


@pytest.fixture
def server(settings: Settings) -> Iterator[RunningHouse]:
    running = RunningHouse(settings)
    yield running
    running.house.stop(0.0)
