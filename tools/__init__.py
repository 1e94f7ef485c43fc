"""Tools for building, checking and documenting this repository. Run each as `python -m tools.NAME`."""
