"""Generate text and code with small language models, and measure honestly what comes out."""
