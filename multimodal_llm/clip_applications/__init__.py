"""Pictures and words in one space: labels of one's own choice for a photo, and search through a folder of photos."""
