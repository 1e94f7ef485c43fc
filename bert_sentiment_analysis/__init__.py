"""Fine-tune encoders on films, products and tweets; compare them, and see which words decide."""
