"""``verify``: is the request in these files from rtmpd, and if not, what is wrong with it?

===========  ====================================================
exit status
===========  ====================================================
0            it is
1            it is not; standard error names the mistake
2            a flag is wrong
66           a file cannot be read
===========  ====================================================
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from .. import textfile
from ..textfile import TextFileError
from .verify import TOLERANCE_S, VerificationError, verify

EXIT_MISTAKE = 1

#: The header that gives a scheme away, the stronger ones first.
_SCHEME_OF_HEADER = {
    "webhook-signature": "standard",
    "signature-input": "http_signature",
    "stripe-signature": "stripe",
    "x-hub-signature-256": "github",
    "x-signature": "hmac",
    "x-api-key": "api_key",
}


def main(words: Sequence[str], program: str = "rtmpd verify") -> int:
    """Run the command; the result is its exit status. Reads files."""
    parser = _parser(program)
    given = parser.parse_args(list(words))
    try:
        secrets = [textfile.read(name).text.strip() for name in given.secret_file]
        request_line, headers = _headers(_read(given.headers).decode("utf-8", "replace"))
        body = _read(given.body)
    except OSError as error:
        print(f"{program}: {error.filename}: {error.strerror}", file=sys.stderr)
        return os.EX_NOINPUT
    except TextFileError as error:
        print(f"{program}: a secret file {error}", file=sys.stderr)
        return os.EX_NOINPUT
    method, path = request_line or ("POST", "/")
    scheme = given.scheme or next((name for header, name in _SCHEME_OF_HEADER.items() if header in headers), "")
    try:
        if not scheme:
            raise VerificationError("no header of the request holds a signature")
        verify(
            headers,
            body,
            secrets,
            scheme,
            header=given.header,
            tolerance_s=given.tolerance,
            now=given.now,
            method=given.method or method,
            path=given.path or path,
        )
    except VerificationError as error:
        print(f"{program}: not verified: {error}", file=sys.stderr)
        return EXIT_MISTAKE
    print(f"verified: {scheme}")
    return os.EX_OK


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Check the signature of a webhook request that was written to files.",
        allow_abbrev=False,
    )
    secret = parser.add_argument("--secret-file", action="append", help="holds a secret, or a public key; repeatable")
    headers = parser.add_argument("--headers", help="the headers as they came, with the request line or without")
    body = parser.add_argument("--body", help="the body as it came")
    for file in (secret, headers, body):
        file.required, file.metavar = True, "FILE"
    schemes = sorted(set(_SCHEME_OF_HEADER.values()))
    parser.add_argument("--scheme", choices=schemes, help="what to check; by default what the headers hold")
    parser.add_argument("--header", default="", help="name of the header of hmac or api_key, if it is another one")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE_S, help="seconds a time may be off (%(default)g)")
    parser.add_argument("--now", type=float, help="Unix time to check against, instead of the clock")
    parser.add_argument("--method", default="", help="method of the request, for http_signature")
    parser.add_argument("--path", default="", help="path of the request, for http_signature")
    return parser


def _read(name: str) -> bytes:
    with open(name, "rb") as file:
        return file.read()


def _headers(text: str) -> tuple[tuple[str, str] | None, dict[str, str]]:
    """Return method and path of the request line, or None, and the headers by their names in lower case."""
    request_line = None
    headers = {}
    for row in text.splitlines():
        words = row.split()
        if request_line is None and len(words) == 3 and words[2].startswith("HTTP/"):
            request_line = words[0], words[1].partition("?")[0]
            continue
        name, colon, value = row.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return request_line, headers
