"""All that a learner's session needs. Imports `interp` and nothing of `course`, and never nbgrader."""
