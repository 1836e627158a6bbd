"""What clients asked and got, and the file formats it is read from and written to."""
