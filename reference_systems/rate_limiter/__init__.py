"""A limit on admissions per second that a cluster keeps together."""
