//! The bodies that collectors send: read, checked, and told what is wrong with them.
