"""The table of compose keys: complete, said once, and the one on the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.system.compose_keys import TABLE, Treatment, check_keys, markdown

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "compose.md"


def test_the_page_shows_the_table() -> None:
    assert PAGE.read_text().endswith(markdown())


def test_every_key_that_is_not_honoured_says_why() -> None:
    assert [key for key in TABLE if key.treatment is not Treatment.HONOURED and not key.note] == []


@pytest.mark.parametrize(
    "key", [key for key in TABLE if key.treatment is Treatment.REFUSED], ids=lambda key: f"{key.place}.{key.name}"
)
def test_every_refused_key_is_refused_with_what_to_do(key) -> None:
    with pytest.raises(UsageError) as error:
        check_keys({key.name: "something"}, key.place, "compose.yaml: service web")
    assert str(error.value) == f"compose.yaml: service web: key {key.name!r} is not supported: {key.note}"


def test_what_is_off_or_nobodys_business_passes() -> None:
    check_keys({"use_api_socket": False, "external_links": [], "x-mine": 1, "network_mode": None}, "a service", "here")
