//! Effective requests and limits of a pod, as the scheduler sees them.
