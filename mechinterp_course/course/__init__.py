"""What builds, verifies and grades the notebooks. Learners never import it."""
