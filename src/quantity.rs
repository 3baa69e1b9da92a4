//! Kubernetes resource quantities: the whole grammar, in integers.
