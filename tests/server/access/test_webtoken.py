"""JSON Web Tokens."""

from __future__ import annotations

import base64
import hmac
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from rtmpd.errors import CredentialError
from rtmpd.server.access.webtoken import WebTokens, check_key
from rtmpd.settings import AccessSettings
from tests.support.asking import ask
from tests.support.proof import proves

ROOT = Path(__file__).resolve().parents[3]
SECRET, OTHER = "s" * 32, "o" * 32
CLAIMS = {"app": "live", "name": "a*", "action": ["publish", "play"], "sub": "studio"}


def claims(**changed: Any) -> dict[str, Any]:
    every = {**CLAIMS, "exp": int(time.time()) + 60, **changed}
    return {name: value for name, value in every.items() if value is not None}


def token(key: Any = SECRET, algorithm: str = "HS256", **changed: Any) -> str:
    return jwt.encode(claims(**changed), key, algorithm)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_an_algorithm_without_its_library_is_a_problem_and_no_traceback(tmp_path: Path, algorithm: str) -> None:
    """``rtmpd -t``, as a start and a reload read the file, with a Python in which cryptography cannot be imported."""
    missing = tmp_path / "cryptography"
    missing.mkdir()
    (missing / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'cryptography'\")\n")
    ini = tmp_path / "rtmpd.ini"
    ini.write_text(
        f"[access]\njwt_algorithm = {algorithm}\njwt_keys = {'k' * 40}\n[hooks]\n[[cms]]\ntype = webhook\n"
        f"url = http://localhost/\n[[[auth]]]\ntype = jwt\nalgorithm = {algorithm}\nsecret = {'k' * 40}\n"
    )
    command = [sys.executable, "-m", "rtmpd", "-t", "-c", str(ini)]
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 78 and "Traceback" not in done.stderr, done.stderr
    for key in ("access.jwt_algorithm", "hooks.cms.auth.algorithm"):
        assert f"{key}: {algorithm} needs the package cryptography" in done.stderr, done.stderr


def tokens(*keys: str, **settings: Any) -> WebTokens:
    return WebTokens(AccessSettings(jwt_keys=keys or (SECRET,), **settings))


def pem(private: Any) -> tuple[str, str]:
    """Its private and its public key in PEM."""
    plain = serialization.NoEncryption()
    hidden = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    shown = private.public_key().public_bytes(serialization.Encoding.PEM, form)
    return hidden.decode(), shown.decode()


def test_a_token_admits_and_its_subject_is_the_identity() -> None:
    verdict = tokens().judge(ask("live/abc", token()))
    assert verdict.allowed and verdict.identity == "studio"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"exp": 1}, "expired"),
        ({"exp": None}, "a claim is missing"),
        ({"app": None}, "a claim is missing"),
        ({"name": None}, "a claim is missing"),
        ({"action": None}, "a claim is missing"),
        ({"nbf": 9_999_999_999}, "not valid yet"),
        ({"app": "vod"}, "wrong application"),
        ({"name": "b"}, "wrong name"),
        ({"name": 5}, "wrong name"),
        ({"action": "play"}, "wrong action"),
        ({"exp": "soon"}, "not a token"),
    ],
)
def test_a_token_for_something_else_is_refused_with_the_reason(changed: dict[str, Any], reason: str) -> None:
    assert tokens().judge(ask(token=token(**changed))).reason == reason


@proves("access.jwt_issuer", "access.jwt_audience")
def test_issuer_and_audience_must_be_those_of_the_configuration() -> None:
    strict = tokens(jwt_issuer="cms", jwt_audience="rtmpd")
    assert strict.judge(ask(token=token(iss="cms", aud="rtmpd"))).allowed
    assert strict.judge(ask(token=token(iss="cms", aud=["x", "rtmpd"]))).allowed
    assert strict.judge(ask(token=token(iss="else", aud="rtmpd"))).reason == "wrong issuer"
    assert strict.judge(ask(token=token(iss="cms", aud="else"))).reason == "wrong audience"
    assert strict.judge(ask(token=token(iss="cms"))).reason == "a claim is missing"
    assert tokens().judge(ask(token=token(aud="whoever"))).allowed


@proves("access.jwt_leeway")
def test_leeway_lets_clocks_differ() -> None:
    late = token(exp=int(time.time()) - 20)
    assert not tokens().judge(ask(token=late)).allowed
    assert tokens(jwt_leeway_s=60.0).judge(ask(token=late)).allowed


def test_one_of_several_keys_has_to_fit() -> None:
    assert tokens(SECRET, OTHER).judge(ask(token=token(OTHER))).allowed
    assert tokens(SECRET, OTHER).judge(ask(token=token(OTHER, exp=1))).reason == "expired"
    assert tokens(SECRET).judge(ask(token=token(OTHER))).reason == "bad signature"


@pytest.mark.parametrize(
    ("algorithm", "private"),
    [
        ("RS256", rsa.generate_private_key(65537, 2048)),
        ("ES256", ec.generate_private_key(ec.SECP256R1())),
        ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
    ],
)
def test_public_keys_verify_and_are_never_taken_for_a_secret(algorithm: str, private: Any) -> None:
    hidden, shown = pem(private)
    public = tokens(shown, jwt_algorithm=algorithm)
    assert public.judge(ask(token=token(hidden, algorithm))).allowed
    # the classic confusion: HS256 with the public key, which everybody may know, as the secret
    header = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()).rstrip(b"=")
    body = base64.urlsafe_b64encode(json.dumps(claims()).encode()).rstrip(b"=")
    signing = header + b"." + body
    signature = base64.urlsafe_b64encode(hmac.digest(shown.encode(), signing, "sha256")).rstrip(b"=")
    assert public.judge(ask(token=(signing + b"." + signature).decode())).reason == "wrong algorithm"
    with pytest.raises(CredentialError, match="not a key for HS256"):
        tokens(shown)
    with pytest.raises(CredentialError, match="private key"):
        tokens(hidden, jwt_algorithm=algorithm)


@proves("access.jwt_algorithm")
@pytest.mark.parametrize("name", ["none", "None", "NONE", ""])
def test_none_is_no_algorithm(name: str) -> None:
    header = base64.urlsafe_b64encode(json.dumps({"alg": name, "typ": "JWT"}).encode()).rstrip(b"=")
    body = base64.urlsafe_b64encode(json.dumps(claims()).encode()).rstrip(b"=")
    assert tokens().judge(ask(token=(header + b"." + body + b".").decode())).reason == "wrong algorithm"
    with pytest.raises(CredentialError, match="is not an algorithm"):
        tokens(jwt_algorithm=name)


def test_another_algorithm_of_the_same_key_is_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert tokens().judge(ask(token=token(algorithm="HS512"))).reason == "wrong algorithm"


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "....", "é.é.é", "eyJ" * 2000])
def test_what_is_no_token_is_refused(text: str) -> None:
    assert not tokens().judge(ask(token=text)).allowed


def test_a_short_secret_is_told() -> None:
    assert "32" in check_key("HS256", "short")
    assert check_key("HS256", SECRET) == ""
