"""Whose fault a failed delivery is, and what Retry-After says."""

import pytest

from rtmpd.errors import (
    AuthDeliveryError,
    DeliveryError,
    NotSentError,
    PermanentDeliveryError,
    TransientDeliveryError,
)
from rtmpd.hook.fault import AUTH, ENDPOINT, EVENT, GONE, RETRY_AFTER_MAX_S, fault_of, retry_after_s

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def status(number: int) -> DeliveryError:
    family = TransientDeliveryError if number in (408, 425, 429) or number >= 500 else PermanentDeliveryError
    return family(f"server returned status {number}", f"status:{number}")


@pytest.mark.parametrize(
    ("fault", "numbers"),
    [
        (EVENT, (300, 301, 302, 307, 308, 400, 404, 405, 413, 415, 422, 451)),
        (AUTH, (401, 403, 407)),
        (GONE, (410,)),
        (ENDPOINT, (408, 425, 429, 500, 501, 502, 503, 504, 599)),
    ],
)
def test_every_status_has_its_culprit(fault: str, numbers: tuple[int, ...]) -> None:
    assert {number: fault_of(status(number)) for number in numbers} == dict.fromkeys(numbers, fault)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (TransientDeliveryError("timed out", "timeout"), ENDPOINT),
        (TransientDeliveryError("network error: refused", "ECONNREFUSED"), ENDPOINT),
        (TransientDeliveryError("exit status 75", "exit:75"), ENDPOINT),
        (TransientDeliveryError("ended by signal 9", "signal:9"), ENDPOINT),
        (AuthDeliveryError("token endpoint: timed out", "oauth2:timeout"), AUTH),
        (NotSentError("the worker is busy", "not_sent"), ENDPOINT),
        (PermanentDeliveryError("exit status 1", "exit:1"), EVENT),
        (DeliveryError("of nobody knows what"), EVENT),
    ],
)
def test_what_has_no_status_is_judged_by_its_class(error: DeliveryError, fault: str) -> None:
    assert fault_of(error) == fault


@pytest.mark.parametrize(
    ("patterns", "error", "fault"),
    [
        (("status:404",), status(404), ENDPOINT),
        (("status:40",), status(404), EVENT),
        (("status:503",), status(500), EVENT),
        (("status:503",), status(503), ENDPOINT),
        (("Connection Refused", "x"), TransientDeliveryError("network error: connection refused", "y"), ENDPOINT),
        (("econnrefused",), TransientDeliveryError("network error", "ECONNREFUSED"), ENDPOINT),
        (("exit:3",), PermanentDeliveryError("exit status 3", "exit:3"), ENDPOINT),
        (("timed out",), TransientDeliveryError("ended by signal 9", "signal:9"), EVENT),
        (("timed out",), status(401), AUTH),
        (("timed out",), NotSentError("the worker is busy", "not_sent"), ENDPOINT),
        (("timed out",), status(410), GONE),
        (("status:401",), status(401), ENDPOINT),
    ],
)
def test_patterns_say_instead_of_the_table_what_is_worth_another_try(
    patterns: tuple[str, ...], error: DeliveryError, fault: str
) -> None:
    assert fault_of(error, patterns) == fault


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("86400", 86400.0),
        ("999999999", RETRY_AFTER_MAX_S),
        ("-5", None),
        ("+5", None),
        ("1e3", None),
        ("٣", None),
        ("nan", None),
        ("inf", None),
        ("9" * 400, None),
        ("", None),
        ("soon", None),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:13:50 -0000", 30.0),
        ("Tuesday, 14-Nov-23 22:13:50 GMT", 30.0),
        ("Tue Nov 14 22:13:50 2023", 30.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("Tue, 14 Nov 2999 22:00:00 GMT", RETRY_AFTER_MAX_S),
        ("Tue, 99 Nov 2023 22:13:50 GMT", None),
        ("Tue, 14 Nov 99999999999 22:13:50 GMT", None),
        ("Tue, 14 Nov 2023 22:13:50 +9999999999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_or_not_there(value: str, seconds: float | None) -> None:
    assert retry_after_s(value, "", NOW) == seconds


def test_a_date_is_read_against_the_clock_of_the_one_who_wrote_it() -> None:
    an_hour_off = "Tue, 14 Nov 2023 23:13:20 GMT"
    assert retry_after_s("Tue, 14 Nov 2023 23:14:00 GMT", an_hour_off, NOW) == 40.0
    assert retry_after_s("Tue, 14 Nov 2023 22:14:00 GMT", "garbage", NOW) == 40.0
