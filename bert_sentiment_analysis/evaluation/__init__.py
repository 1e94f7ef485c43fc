"""How good a model is, how sure one can be of that, and how sure the model should be of itself."""
