"""Questions about a picture: the data, and the systems that answer."""
