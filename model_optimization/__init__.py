"""Compress a real classifier in every way, and ship only what passes; serve it, and watch it."""
