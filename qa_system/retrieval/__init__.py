"""Find the passages that a question asks for: by words, by meaning, and both."""
