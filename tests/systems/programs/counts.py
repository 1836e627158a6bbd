"""Appends a growing number to the file `ticks` for ever (a program whose progress can be seen), burning CPU meanwhile."""

import os

file = os.open("ticks", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
number = 0
while True:
    number += 1
    if number % 20_000 == 0:
        os.write(file, b".")
