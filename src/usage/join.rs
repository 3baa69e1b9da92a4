//! The join of reports with the index.
