//! Digests of serialisable Rust values.
