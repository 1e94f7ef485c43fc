"""Run a program that nobody has read, so that it harms nothing and cannot lie about its test results."""
