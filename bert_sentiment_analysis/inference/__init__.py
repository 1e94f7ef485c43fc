"""Using a trained classifier."""
