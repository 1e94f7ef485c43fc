"""Weights and activations as integers of 8 bits, rounded after training or during it."""
