"""How good are the passages that were found, and the answers made of them?"""
