"""A page read: its words, blocks and tables in reading order, its fields, and answers to questions about it."""
