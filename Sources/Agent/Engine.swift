// Composition and lifecycle.
