"""The texts: cleaned, loaded, split so that nothing leaks, and audited."""
