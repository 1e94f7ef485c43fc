"""A Transformer built from its equations, and a character-level language model trained with it."""
