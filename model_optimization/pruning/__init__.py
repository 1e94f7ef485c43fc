"""Leave weights out: single ones, and whole heads and neurons."""
