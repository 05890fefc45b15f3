"""HTML and terminals without a word of the paper in it. Begin with `markup`."""
