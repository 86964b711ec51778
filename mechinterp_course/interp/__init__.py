"""What lessons compute with. Knows nothing of courses, notebooks or grades."""
