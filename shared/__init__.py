"""What two or more of the six projects need. Importing it loads neither torch nor transformers."""
