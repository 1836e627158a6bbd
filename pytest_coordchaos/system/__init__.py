"""What is under test, as pure data."""
