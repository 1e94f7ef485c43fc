"""What several tests of this project need."""
