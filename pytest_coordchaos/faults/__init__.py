"""The fault vocabulary, partition shapes, plans, and the nemesis that carries them out."""
