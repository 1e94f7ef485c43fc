"""How a server does under load, and whether the texts that it gets are still those it was made for."""
