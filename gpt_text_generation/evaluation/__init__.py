"""Is what a model writes good? Measures of the texts themselves, and what people say who do not know who wrote them."""
