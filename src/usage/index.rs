//! What is known of pods, nodes, claims and controllers: slim, and for a while also of those that are gone.
