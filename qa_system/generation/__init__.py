"""From passages to an answer, and from each sentence of it to the place that supports it."""
