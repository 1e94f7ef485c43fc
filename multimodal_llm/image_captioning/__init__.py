"""A sentence for a photo: BLIP, this project's own small decoder, and how good a caption is."""
