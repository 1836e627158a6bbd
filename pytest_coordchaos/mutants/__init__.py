"""Systems with one named bug each, and how soon tests notice."""
