"""Small models that learn what a larger one answers."""
