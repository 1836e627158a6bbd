"""One test per promise. Copied to test_promises.py where it is wanted."""

import pytest

over = pytest.mark.coordination_budget(op="put", messages_per_op=1)
within = pytest.mark.coordination_budget(op="put", messages_per_op=2)


@within
def test_within(put):
    put()


@over
def test_over(put):
    put()


@over
@pytest.mark.xfail(strict=True, reason="a known offender")
def test_known_offender(put):
    put()


@within
@pytest.mark.xfail(strict=True, reason="it is not over")
def test_wrongly_suspected(put):
    put()


@within
def test_unknown(echo):
    pass


@pytest.mark.coordchaos
def test_marked_without_a_cluster():
    pass


@pytest.mark.coordchaos(allow_unknown=True)
@within
def test_unknown_allowed(echo):
    pass


@over
def test_fails_by_itself(put):
    put()
    assert "left" == "right"


@over
def test_skips_itself(put):
    put()
    pytest.skip("not today")


@pytest.mark.coordination_budget(message_per_op=1)
def test_misspelt(put):
    put()


def test_of_somebody_else(record_property):
    record_property("owner", "somebody")


def test_records_without_a_claim(put):
    put()
