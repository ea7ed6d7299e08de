"""What several crops of a frame gain over the frame alone, and what they cost."""
