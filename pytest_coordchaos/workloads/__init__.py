"""Operations to draw, and the contract of the clients that perform them."""
