//! Objects as slim as they are needed to say whose a pod is, where it runs and what it has: a pod is 5 to 20 KiB of JSON.

mod node;
mod owned;
mod pod;
mod volumes;

pub use self::node::Node;
pub use self::owned::{Job, Namespace, Owned, ReplicaSet};
pub use self::pod::Pod;
pub use self::volumes::{Claim, Volume};
