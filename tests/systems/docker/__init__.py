"""Tests with real containers: skipped where no engine answers, a failure where COORDCHAOS_REQUIRE names docker."""
