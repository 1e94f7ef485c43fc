"""Uploads, questions and answers over HTTP, and a page of its own."""
