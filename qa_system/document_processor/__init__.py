"""Documents in: read page by page, cut into passages, kept in a store."""
