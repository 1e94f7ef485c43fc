"""Captions for photos and answers to questions about pictures, offline on two cores."""
